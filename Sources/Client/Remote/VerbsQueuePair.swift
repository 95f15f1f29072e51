// VerbsQueuePair: a queue pair to a server by librdmacm and libibverbs, as the core sees it.
//
//   resolving --address--> routing --route--> connecting --accepted, rightly greeted-> open
//      |  ^ next route        |                   |                                     |
//      +--+-------------------+-------------------+---------failed, rejected------------+--> failed
//
// Always holds: nothing waits but the making of queues, registrations and `close`, which are the
// kernel's; completions and events are taken when a wait has told of them. A route is a device of
// ours to an address of the server's; the next is tried only as long as the server can't have seen
// the nonce. Before a wait the completion queue is armed and looked at once more.

#if Verbs

internal import Verbs
internal import Wire

final class VerbsQueuePair: ClientQueuePair {
    struct Route {
        let device: RemoteDevice
        let source: RDMAAddress
        let target: RDMAAddress
    }

    enum Phase { case resolving, routing, connecting, open, closed }

    private static let resolveMilliseconds = 2000

    private let offer: QueuePairOffer
    private let keys: QueuePairKeys
    private var routes: ArraySlice<Route> = []
    private(set) var route: Route?
    private(set) var phase = Phase.resolving
    private var failure: ConnectError?
    /// What it says to be in its greeting.
    private let role: QueuePairRole
    /// Values that this side moves, and that are under way.
    var moves = OneSidedMoves()
    private var events: ConnectionEvents?
    private(set) var connection: RDMAConnection?
    private var queue: CompletionQueue?
    private var slots: MessageSlots?
    private var arrived: ArraySlice<[UInt64]> = []

    /// Begins to connect by one of `devices`, the first first. As `leaseholder` it moves values by
    /// itself (OneSidedMoves.swift).
    init(
        _ offer: QueuePairOffer, keys: QueuePairKeys, devices: [RemoteDevice],
        role: QueuePairRole = .client
    ) {
        self.role = role
        self.offer = offer
        self.keys = keys
        for device in devices {
            for address in offer.addresses {
                let target = RDMAAddress(words: address.words)
                guard let source = device.source(for: target) else { continue }
                routes.append(Route(device: device, source: source, target: target))
            }
        }
        let names = devices.map(\.device.name).joined(separator: ", ")
        do throws(VerbsError) {
            events = try ConnectionEvents()
            tryNext(
                after: "no address of \(names) is of a family of the server's, "
                    + offer.addresses.map(\.description).joined(separator: ", "))
        } catch {
            fail("\(error)")
        }
    }

    private func fail(_ sentence: String) { fail(.queuePair(sentence)) }

    private func fail(_ reason: SessionFailure) {
        if failure == nil { failure = .session(reason) }
    }

    // MARK: Coming to be

    var opening: OpeningProgress {
        if let failure { return .failed(failure) }
        return phase == .open ? .open : .pending
    }

    private func tryNext(after sentence: String) {
        drop()
        guard let events, let next = routes.popFirst() else { return fail(sentence) }
        route = next
        phase = .resolving
        do throws(VerbsError) {
            let connection = try RDMAConnection(events)
            self.connection = connection
            try connection.resolveAddress(
                next.target, port: offer.port, from: next.source,
                milliseconds: Self.resolveMilliseconds)
        } catch {
            tryNext(after: "\(error)")
        }
    }

    /// Ends the attempt, whatever stands of it; returns when the device has let go of all memory.
    private func drop() {
        connection?.end()
        connection = nil
        queue = nil
        slots = nil
    }

    private func takeEvents() {
        guard let events, failure == nil, phase != .closed else { return }
        do throws(VerbsError) {
            while failure == nil, let event = try events.next() {
                guard event.connection == connection?.name else { continue }
                take(event)
            }
        } catch {
            fail("\(error)")
        }
    }

    private func take(_ event: ConnectionEvent) {
        guard let route, let connection else { return }
        let name = "\(route.device.device.name) to \(route.target)"
        do throws(VerbsError) {
            switch (event.kind, phase) {
            case (.addressResolved, .resolving):
                guard connection.isOn(route.device.device) else {
                    RemoteDevices.forget(route.device)
                    return tryNext(after: "\(name): the way leads over another device")
                }
                try prepare(route, connection)
                phase = .routing
                try connection.resolveRoute(milliseconds: Self.resolveMilliseconds)
            case (.routeResolved, .routing):
                phase = .connecting
                try connection.connect(
                    ConnectionAgreement(
                        privateData: greeting,
                        readsAccepted: UInt8(clamping: route.device.attributes.readsAccepted),
                        readsInFlight: role == .leaseholder
                            ? UInt8(clamping: min(route.device.attributes.readsInFlight, 16)) : 0))
            case (.established, .connecting): accept(event.privateData)
            case (.rejected, _): fail("\(name): the server rejected it (reason \(event.status))")
            case (.failed, .resolving), (.failed, .routing), (.failed, .connecting):
                tryNext(after: "\(name): no way to the server (\(event.status))")
            case (.disconnected, _): fail("the server ended it")
            case (.deviceRemoved, _):
                RemoteDevices.forget(route.device)
                fail("device \(route.device.device.name) is gone")
            default: break
            }
        } catch {
            tryNext(after: "\(name): \(error)")
        }
    }

    /// Makes the queues and fills the one to receive, before anybody can send.
    private func prepare(_ route: Route, _ connection: RDMAConnection) throws(VerbsError) {
        let credits = Int(offer.credits)
        let moves = role == .leaseholder ? OneSidedMoves.limit : 0
        let queue = try CompletionQueue(route.device.device, capacity: 2 * credits + moves)
        self.queue = queue
        let slots = try MessageSlots(
            count: credits, messageBytes: Int(offer.messageLimitBytes), on: route.device)
        try connection.makeQueuePair(
            in: route.device.domain, completingTo: queue,
            lengths: QueuePairLengths(sends: credits + moves, receives: credits))
        for slot in 0..<credits { try slots.receive(into: slot, by: connection) }
        self.slots = slots
    }

    private var greeting: [UInt8] {
        let words = QueuePairGreeting(
            from: role, sessionID: offer.sessionID, nonce: offer.nonce, keys: keys
        ).words
        return (0..<QueuePairGreeting.byteCount).map {
            UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8))
        }
    }

    private func accept(_ privateData: [UInt8]) {
        let said = try? QueuePairGreeting(bytes: privateData.span, from: .server)
        guard let said, said.sessionID == offer.sessionID, said.hasCode(of: keys),
            said.nonce.words[0] == offer.nonce.words[0],
            said.nonce.words[1] == offer.nonce.words[1]
        else { return fail(.wrongGreeting) }
        phase = .open
    }

    // MARK: Messages

    var maySend: Bool { phase == .open && failure == nil && slots?.maySend == true }

    func send(_ words: [UInt64]) throws(SessionFailure) {
        guard let connection, slots != nil else {
            throw .queuePair("it isn't open")
        }
        do throws(VerbsError) {
            try slots!.send(words, by: connection)
        } catch {
            throw .queuePair("\(error)")
        }
    }

    func receive() throws(SessionFailure) -> [UInt64]? {
        takeEvents()
        takeCompletions()
        if let next = arrived.popFirst() { return next }
        if case .session(let reason)? = failure { throw reason }
        return nil
    }

    private func takeCompletions() {
        guard let queue, phase == .open, failure == nil else { return }
        var taken: [WorkCompletion] = []
        do throws(VerbsError) {
            while try queue.poll({ taken.append($0) }) > 0 {}
            for completion in taken { try take(completion) }
        } catch {
            fail("\(error)")
        }
    }

    private func take(_ completion: WorkCompletion) throws(VerbsError) {
        guard let connection, let slots else { return }
        let slot = Int(completion.workID)
        guard completion.status.isSuccess else {
            return fail(
                completion.status.isFlushed ? "it has been closed" : "\(completion.status)")
        }
        if completion.workID == OneSidedMoves.workID {
            moves.ended()
            return
        }
        guard slot < slots.count else {
            self.slots?.sent(from: slot)
            return
        }
        arrived.append(slots.words(in: slot, byteCount: completion.receivedBytes ?? 0))
        try slots.receive(into: slot, by: connection)
    }

    func expose(_ memory: [ValueMemory]) throws(SessionFailure) -> Exposure {
        guard let device = route?.device, phase == .open else { throw .queuePair("it isn't open") }
        var segments: [RemoteSegment] = []
        var registrations: [RegisteredMemory] = []
        do throws(VerbsError) {
            for piece in memory {
                let (segment, registration) = try device.register(piece)
                segments.append(segment)
                registrations.append(registration)
            }
        } catch {
            throw .queuePair(
                "\(error)" + (error.isLockedMemory ? "; raise the limit of locked memory" : ""))
        }
        return Exposure(segments: segments, registrations: registrations)
    }

    func close() {
        if phase == .open { connection?.disconnect() }
        phase = .closed
        drop()
        moves = OneSidedMoves()
        events = nil
    }

    // MARK: Waiting

    var isClosed: Bool { phase == .closed }

    /// Takes what has happened, and has the next completion end the wait that follows; true when
    /// there is something already. Events are taken here rather than by whoever asks `opening`:
    /// what one part of a step would see and another not, nobody would be woken for.
    func prepareToWait() -> Bool {
        let before = phase
        takeEvents()
        if failure != nil || phase != before { return true }
        guard phase == .open, let queue else { return false }
        do throws(VerbsError) {
            try queue.arm()
        } catch {
            fail("\(error)")
        }
        let mightSend = maySend
        let wereUnderWay = moves.count
        takeCompletions()
        return !arrived.isEmpty || failure != nil || maySend != mightSend
            || moves.count != wereUnderWay
    }

    /// What must be waited for.
    var interests: [PollEntry] {
        [events?.descriptor, queue?.descriptor].compactMap { $0 }.map {
            PollEntry(descriptor: $0, forSending: false, forReceiving: true)
        }
    }
}

#endif
