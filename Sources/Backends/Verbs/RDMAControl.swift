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
internal import Verbs
internal import Wire

/// The control thread's state; confined to it.
package final class RDMAControl {
    private let service: RDMAService
    private let events: ConnectionEvents
    private let waker: ConnectionWaker
    private var listeners: [(end: Int, connection: RDMAConnection)] = []
    private var places: [ConnectionName: QueuePairPlace] = [:]
    private var leases = LeaseRegistrar()
    private var nextLook: UInt64 = 0

    private static let lookMilliseconds = 500
    private static let backlog = 64

    /// Serves until the process ends; at once without a device. Problems are told to `report`,
    /// those too that are over, as an empty list.
    package static func run(
        _ service: RDMAService, report: @escaping @Sendable ([String]) -> Void
    ) {
        guard !service.ends.isEmpty else {
            report(service.problems.map(\.description))
            return
        }
        do throws(VerbsError) {
            guard let waker = service.waker else {
                throw VerbsError("to make an eventfd", 24)
            }
            let control = try RDMAControl(service, waker)
            control.work(report)
        } catch {
            report(service.problems.map(\.description) + [error.description])
        }
    }

    private init(_ service: RDMAService, _ waker: ConnectionWaker) throws(VerbsError) {
        self.service = service
        self.waker = waker
        events = try ConnectionEvents()
        for (number, end) in service.ends.enumerated() {
            for address in end.addresses {
                let listener = try RDMAConnection(events)
                _ = try listener.listen(on: address, port: service.port, backlog: Self.backlog)
                listeners.append((number, listener))
            }
        }
        service.setListening()
    }

    private func work(_ report: ([String]) -> Void) {
        report(service.problems.map(\.description))
        while true {
            waker.wait(for: events, milliseconds: Self.lookMilliseconds)
            for request in service.takeRequests() { perform(request) }
            takeEvents()
            let now = ConnectionWaker.nanoseconds
            if now >= nextLook {
                nextLook = now + UInt64(Self.lookMilliseconds) * 1_000_000
                var hasChanged = false
                for end in service.ends where end.look() { hasChanged = true }
                if hasChanged { report(service.problems.map(\.description)) }
            }
        }
    }

    private func perform(_ request: ControlRequest) {
        switch request {
        case .end(let connection, let place):
            places[connection.name] = nil
            connection.disconnect()
            connection.end()
            leases.end(place)
            service.tell(.ended(place))
        case .expose(let lease, let ranges, let access):
            let outcome = leases.expose(lease, ranges, of: service.arena, for: access)
            service.tell(.lease(lease, outcome))
        case .revoke(let lease):
            service.tell(.lease(lease, .revoked(isOver: leases.revoke(lease))))
        }
    }

    private func takeEvents() {
        do throws(VerbsError) {
            while let event = try events.next() { take(event) }
        } catch {
            service.controlCounters.add(to: .failedQueuePairs)
        }
    }

    private func take(_ event: ConnectionEvent) {
        switch event.kind {
        case .request: answer(event)
        case .failed, .rejected, .disconnected: lose(event.connection)
        case .deviceRemoved:
            lose(event.connection)
            removeListener(event.connection)
        case .established, .addressResolved, .routeResolved, .other: break
        }
    }

    private func lose(_ name: ConnectionName) {
        guard let place = places.removeValue(forKey: name) else { return }
        service.tell(.lost(place))
    }

    private func removeListener(_ name: ConnectionName) {
        guard let index = listeners.firstIndex(where: { $0.connection.name == name }) else {
            return
        }
        let (number, listener) = listeners.remove(at: index)
        service.ends[number].remove()
        listener.end()
    }

    // MARK: - Clients

    /// Accepts or rejects somebody who asks for a connection.
    private func answer(_ event: ConnectionEvent) {
        let connection = RDMAConnection(request: event, of: events)
        guard let greeting = Self.greeting(event.privateData),
            let opening = service.take(greeting.sessionID)
        else {
            service.controlCounters.add(to: .refusedGreetings)
            refuse(connection)
            return
        }
        guard Instant(nanoseconds: ConnectionWaker.nanoseconds) < opening.expires else {
            service.controlCounters.add(to: .refusedGreetings)
            refuse(connection, opening.place)
            return
        }
        guard FrameTag(words: greeting.nonce.words).matches(FrameTag(words: opening.nonce.words)),
            greeting.hasCode(of: opening.keys)
        else {
            service.controlCounters.add(to: .forgedGreetings)
            refuse(connection, opening.place)
            return
        }
        guard let number = service.ends.firstIndex(where: { connection.isOn($0.device) }),
            accept(connection, event, opening, greeting, number)
        else {
            service.controlCounters.add(to: .failedQueuePairs)
            refuse(connection, opening.place)
            return
        }
    }

    private static func greeting(_ bytes: [UInt8]) -> QueuePairGreeting? {
        (try? QueuePairGreeting(bytes: bytes.span, from: .client))
            ?? (try? QueuePairGreeting(bytes: bytes.span, from: .leaseholder))
    }

    private func refuse(_ connection: RDMAConnection, _ place: QueuePairPlace? = nil) {
        connection.reject()
        connection.end()
        guard let place else { return }
        leases.end(place)
        service.tell(.failed(place))
    }

    /// False when the queue pair can't be made; its shard knows nothing of it then.
    private func accept(
        _ connection: RDMAConnection, _ event: ConnectionEvent, _ opening: QueuePairOpening,
        _ greeting: QueuePairGreeting, _ number: Int
    ) -> Bool {
        let end = service.ends[number]
        let place = opening.place
        let isForLeases = greeting.role == .leaseholder
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
                lengths: service.configuration.lengths)
            try postReceives(connection, place, localKey: localKey)
        } catch {
            return false
        }
        places[connection.name] = place
        service.tell(
            .connected(
                place,
                NewQueuePair(
                    connection: connection, end: number, localKey: localKey,
                    isForLeases: isForLeases, keys: opening.keys, isSigned: opening.isSigned)))
        let answer = QueuePairGreeting(
            from: .server, sessionID: greeting.sessionID, nonce: opening.nonce, keys: opening.keys)
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
