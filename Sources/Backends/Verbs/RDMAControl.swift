// RDMAControl: the thread that does for all shards what may block: it listens, makes queue pairs
// for clients that show the right greeting, destroys queue pairs, and lets clients reach leased
// memory (LeaseRegistrar.swift).
//
// Always holds: a greeting's offer is spent before the greeting is looked at; a queue pair has all
// its receives posted, and its shard knows of it, before it is accepted. Whatever is wrong with a
// greeting, its sender learns nothing but the rejection.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import Engine
internal import QueuePairs
internal import Verbs
internal import Wire

/// What the control thread tells of RDMA whenever it changes.
package struct RDMAReport: Sendable {
    /// What keeps RDMA from being whole; empty when nothing does.
    package var problems: [String]
    /// The devices that can be reached.
    package var devices: [String]
    /// What was done, as sentences.
    package var news: [String]
}

/// The control thread's state; confined to it.
package final class RDMAControl {
    private let service: RDMAService
    private let waker: ConnectionWaker
    private let report: (RDMAReport) -> Void
    /// Nil until there is a device: without one librdmacm has none.
    private var events: ConnectionEvents?
    private var listeners: [Listener] = []
    private var places: [ConnectionName: Place] = [:]
    /// Without their queue pairs, until their device's port is active.
    private var parked: [(connection: RDMAConnection, since: UInt64)] = []
    private var leases = LeaseRegistrar()
    private var nextLook: UInt64 = 0
    /// What was last reported.
    private var told: (problems: [String], devices: [String])?

    private struct Place {
        let place: QueuePairPlace
        let connection: RDMAConnection
        /// Its client has said that it goes: the device can be reached.
        var hasLeft = false
    }

    private struct Listener {
        let slot: Int
        let address: RDMAAddress
        let connection: RDMAConnection
    }

    private static let lookMilliseconds = 500
    private static let backlog = 64
    private static let eventsPerTurn = 64

    /// Serves until the service is stopped.
    package static func run(
        _ service: RDMAService, report: @escaping @Sendable (RDMAReport) -> Void
    ) {
        guard let waker = service.waker else {
            report(
                RDMAReport(
                    problems: [VerbsError("to make an eventfd", 24).description], devices: [],
                    news: []))
            service.setStopped()
            return
        }
        RDMAControl(service, waker, report).work()
        service.setStopped()
    }

    private init(
        _ service: RDMAService, _ waker: ConnectionWaker, _ report: @escaping (RDMAReport) -> Void
    ) {
        self.service = service
        self.waker = waker
        self.report = report
    }

    private func work() {
        while !service.mustStop {
            let now = ConnectionWaker.nanoseconds
            if now >= nextLook {
                nextLook = now + UInt64(Self.lookMilliseconds) * 1_000_000
                look()
            }
            waker.wait(for: events, milliseconds: Self.lookMilliseconds)
            for request in service.takeRequests() { serve(request) }
            takeEvents()
        }
        stop()
    }

    private func serve(_ request: ControlRequest) {
        switch request {
        case .end(let connection, let place):
            let hasLeft = places.removeValue(forKey: connection.name)?.hasLeft ?? false
            end(connection, hasLeft: hasLeft)
            leases.end(place)
            service.tell(.ended(place), place)
        case .expose(let lease, let ranges, let access):
            let outcome = leases.expose(lease, ranges, of: service.arena, for: access)
            service.tell(.lease(lease, outcome), lease.queuePair)
        case .revoke(let lease):
            let isOver = leases.revoke(lease)
            service.tell(.lease(lease, .revoked(isOver: isOver)), lease.queuePair)
        case .released(let slot):
            // It may be back already.
            if service.slots[slot].released() { nextLook = 0 }
        }
    }

    /// Ends a connection's queue pair at once, and tells its other end when that can be reached:
    /// the connection manager's queue pair of an rxe device fails for good with a message that the
    /// device can't send, and nobody connects by it any more.
    private func end(_ connection: RDMAConnection, hasLeft: Bool) {
        if end(of: connection) == nil || hasLeft && !isCutOff(connection) {
            connection.disconnect()
            connection.end()
        } else {
            // A port that goes down says so a moment after the failures that come of it.
            connection.endQueuePair()
            parked.append((connection, ConnectionWaker.nanoseconds))
        }
    }

    /// Whether its device is in use and has no active port.
    private func isCutOff(_ connection: RDMAConnection) -> Bool {
        guard let device = end(of: connection)?.end.device else { return false }
        return (try? device.attributes())?.isPortActive != true
    }

    /// Ends those whose device can be reached, or is out of use.
    private func endParked() {
        let limit = ConnectionWaker.nanoseconds - UInt64(Self.lookMilliseconds) * 1_000_000
        parked.removeAll { connection, since in
            let isOver = end(of: connection) == nil || since <= limit && !isCutOff(connection)
            if isOver { connection.end() }
            return isOver
        }
    }

    // MARK: - Devices

    /// Looks at every device, and for those that are missing.
    private func look() {
        for number in service.slots.indices {
            let slot = service.slots[number]
            if let end = slot.end {
                if end.device.isThere { slot.look() } else { leave(number) }
            } else {
                service.attach(number)
            }
            listen(number)
        }
        endParked()
        service.letGoOfOthers()
        tell()
    }

    /// Has a slot's device given up by everybody: it is being taken out.
    private func leave(_ slot: Int) {
        guard service.slots[slot].end != nil else { return }
        endListeners { $0.slot == slot }
        service.slots[slot].leave(shardCount: service.memories.count)
        endParked()
        service.tellAll(.plain(.leaves(device: slot)))
    }

    /// Listens on the addresses that a slot's device has now, and on no others.
    private func listen(_ slot: Int) {
        guard service.slots[slot].end != nil else { return }
        let addresses = service.slots[slot].facts.addresses
        endListeners { $0.slot == slot && !addresses.contains($0.address) }
        var problem: VerbsError?
        for address in addresses
        where !listeners.contains(where: { $0.slot == slot && $0.address == address }) {
            do throws(VerbsError) {
                let events = try channel()
                let listener = try RDMAConnection(events)
                _ = try listener.listen(
                    on: address, port: service.port, backlog: Self.backlog)
                listeners.append(
                    Listener(slot: slot, address: address, connection: listener))
            } catch {
                problem = error
            }
        }
        service.slots[slot].listens(
            listeners.contains { $0.slot == slot }, problem: problem)
    }

    private func channel() throws(VerbsError) -> ConnectionEvents {
        if let events { return events }
        let made = try ConnectionEvents()
        events = made
        return made
    }

    private func endListeners(_ isOver: (Listener) -> Bool) {
        listeners.removeAll { listener in
            guard isOver(listener) else { return false }
            listener.connection.end()
            return true
        }
    }

    /// Reports what has changed.
    private func tell() {
        let problems = service.problems.map(\.description)
        let devices = service.devices
        let news = service.slots.flatMap { $0.source.takeNews() }
        if news.isEmpty, let told, told == (problems, devices) { return }
        told = (problems, devices)
        report(RDMAReport(problems: problems, devices: devices, news: news))
    }

    /// Ends everything: no shard is left.
    private func stop() {
        for request in service.takeRequests() {
            guard case .end(let connection, let place) = request else { continue }
            connection.end()
            leases.end(place)
        }
        for each in places.values {
            each.connection.end()
            leases.end(each.place)
        }
        places = [:]
        for (connection, _) in parked { connection.end() }
        parked = []
        endListeners { _ in true }
        for slot in service.slots {
            slot.letGo()
            slot.source.finish()
        }
        let news = service.slots.flatMap { $0.source.takeNews() }
        if !news.isEmpty { report(RDMAReport(problems: [], devices: [], news: news)) }
    }

    // MARK: - Events

    private func takeEvents() {
        guard let events else { return }
        do throws(VerbsError) {
            // Who asks for connections without end keeps nobody from what shards ask for.
            for _ in 0..<Self.eventsPerTurn {
                guard let event = try events.next() else { return }
                take(event, events)
            }
        } catch {
            service.controlCounters.add(to: .failedQueuePairs)
        }
    }

    private func take(_ event: ConnectionEvent, _ events: ConnectionEvents) {
        switch event.kind {
        case .request: answer(event, events)
        case .failed, .rejected: lose(event.connection)
        case .disconnected:
            places[event.connection]?.hasLeft = true
            lose(event.connection)
        case .deviceRemoved:
            lose(event.connection)
            if let listener = listeners.first(where: { $0.connection.name == event.connection }) {
                leave(listener.slot)
                tell()
            }
        case .established, .addressResolved, .routeResolved, .other: break
        }
    }

    private func lose(_ name: ConnectionName) {
        guard let place = places[name]?.place else { return }
        service.tell(.lost(place), place)
    }

    // MARK: - Clients

    /// Accepts or rejects somebody who asks for a connection.
    private func answer(_ event: ConnectionEvent, _ events: ConnectionEvents) {
        let connection = RDMAConnection(request: event, of: events)
        let now = Instant(nanoseconds: ConnectionWaker.nanoseconds)
        switch service.admit(event.privateData, now: now) {
        case .refused(let reason, let place):
            service.controlCounters.add(to: reason)
            refuse(connection, place)
        case .admitted(let opening, let role, let answer):
            if let (number, end) = end(of: connection),
                accept(connection, event, opening, role, answer, number, end)
            {
                return
            }
            service.controlCounters.add(to: .failedQueuePairs)
            refuse(connection, opening.place)
        }
    }

    /// The device that a connection came by, if it's in use.
    private func end(of connection: RDMAConnection) -> (slot: Int, end: RDMADeviceEnd)? {
        for number in service.slots.indices {
            guard let end = service.slots[number].end, connection.isOn(end.device) else {
                continue
            }
            return (number, end)
        }
        return nil
    }

    private func refuse(_ connection: RDMAConnection, _ place: QueuePairPlace? = nil) {
        connection.reject()
        connection.end()
        guard let place else { return }
        leases.end(place)
        service.tell(.failed(place), place)
    }

    /// False when the queue pair can't be made; its shard knows nothing of it then.
    private func accept(
        _ connection: RDMAConnection, _ event: ConnectionEvent, _ opening: QueuePairOpening,
        _ role: QueuePairRole, _ answer: QueuePairGreeting, _ number: Int, _ end: RDMADeviceEnd
    ) -> Bool {
        let place = opening.place
        let isForLeases = role == .leaseholder
        // A client that lets nobody read from it could be sent values, and none fetched.
        guard isForLeases || event.readsInFlight > 0 else { return false }
        var (domain, localKey) = (end.domain, end.memory.localKey)
        do throws(VerbsError) {
            if isForLeases {
                let messages = service.memories[place.shard].messages(
                    of: place.slot, rowsPerPair: service.configuration.rowsPerPair)
                (domain, localKey) = try leases.open(
                    place, on: end.device, messages: messages, of: service.arena)
            }
            try connection.makeQueuePair(
                in: domain, completingTo: end.queues[place.shard],
                lengths: QueuePairLengths(
                    sends: service.configuration.sendsPerPair,
                    receives: service.configuration.rowsPerPair))
            try postReceives(connection, place, localKey: localKey)
        } catch {
            return false
        }
        places[connection.name] = Place(place: place, connection: connection)
        service.connected(
            place,
            NewQueuePair(
                device: number, localKey: localKey, isForLeases: isForLeases, keys: opening.keys,
                isSigned: opening.isSigned), connection)
        // Only clients with leases read here.
        let reads = min(Int(event.readsAccepted), end.attributes.readsAccepted, 16)
        do throws(VerbsError) {
            try connection.accept(
                ConnectionAgreement(
                    privateData: Self.bytes(answer.words), readsAccepted: UInt8(max(1, reads)),
                    readsInFlight: UInt8(
                        min(Int(event.readsInFlight), end.attributes.readsInFlight, 16))))
            service.controlCounters.add(to: .acceptedQueuePairs)
        } catch {
            // The shard has it: it asks for its end.
            service.controlCounters.add(to: .failedQueuePairs)
            lose(connection.name)
        }
        return true
    }

    private func postReceives(
        _ connection: RDMAConnection, _ place: QueuePairPlace, localKey: UInt32
    ) throws(VerbsError) {
        let perPair = service.configuration.rowsPerPair
        for row in (place.slot * perPair)..<((place.slot + 1) * perPair) {
            let name = WorkName(isReceive: true, generation: place.generation, index: row)
            let range = service.memories[place.shard].request(row)
            unsafe try connection.postReceive(
                into: service.arena.bytes(range), localKey: localKey, workID: name.number)
        }
    }

    private static func bytes(_ words: InlineArray<6, UInt64>) -> [UInt8] {
        (0..<48).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8)) }
    }
}

#endif
