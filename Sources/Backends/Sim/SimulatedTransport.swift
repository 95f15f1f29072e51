// SimulatedTransport: requests from tests to an engine, replies back, no network between.
//
// Always holds: a fixed number of requests; each is handed over once and answered once (a second
// answer, or one to a request that isn't the engine's, traps); replies reach the observer at the
// instant the engine gives them, so their order among device operations is known; bodies lie in the
// arena, payloads in leases from the engine's pool, which come back when the reply has been copied
// out.

package import Engine
package import Wire

/// Names a request towards the test that sent it; never used twice.
package struct RequestNumber: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: RequestNumber, right: RequestNumber) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// An engine's answer, copied out.
package struct Reply: Sendable {
    package let request: RequestNumber
    package let order: RequestOrder
    package let status: Status
    package let bodyWords: [UInt64]
    package let payload: [UInt8]
    /// The payload has the checksum that the response gives; what a client verifies.
    package let isPayloadWhole: Bool
    package let at: Instant
}

/// What a test asks for.
package struct RequestOrder: Sendable {
    package var operation: OperationCode
    package var namespace: Namespace
    package var bodyWords: [UInt64]
    package var payload: [UInt8]
    /// What the header claims; nil for the true checksum.
    package var payloadChecksum: UInt64?
    package var deadline = Instant.never
    package var session: UInt32 = 0

    package init(
        operation: OperationCode, namespace: Namespace = Namespace(0), bodyWords: [UInt64],
        payload: [UInt8] = []
    ) {
        self.operation = operation
        self.namespace = namespace
        self.bodyWords = bodyWords
        self.payload = payload
    }

    /// A request about one key.
    package init(_ operation: OperationCode, _ key: BlockKey, payload: [UInt8] = []) {
        let words = key.littleEndianWords
        self.init(
            operation: operation, namespace: key.namespace,
            bodyWords: [words[0], words[1], words[2], words[3]], payload: payload)
    }
}

/// A shard's clients.
package final class SimulatedTransport: Transport {
    private enum State { case free, queued, taken }

    private final class Slot {
        var state = State.free
        var generation: UInt32 = 0
        var number = RequestNumber(0)
        var order = RequestOrder(operation: .connect, bodyWords: [])
        var arrival = Instant.never
        var payload: SlabLease?
        let body: ArenaRange
        let responseBody: ArenaRange
        init(body: ArenaRange, responseBody: ArenaRange) {
            self.body = body
            self.responseBody = responseBody
        }
    }

    /// Called with each reply, inside the engine's step.
    package var replyObserver: ((Reply) -> Void)?
    /// Replies whose session had closed.
    package private(set) var droppedReplies = 0
    private let world: SimulatedWorld
    private let pool: SlabPool
    private let slots: [Slot]
    private var queue: [Int] = []
    private var closedSessions: [UInt32] = []
    private var nextNumber: UInt64 = 1

    /// Arena bytes for `capacity` requests.
    package static func memory(capacity: Int) -> ByteCount {
        ByteCount(UInt64(capacity) * 2 * UInt64(BodyLayout.bodyLimitBytes))
    }

    /// A transport for `capacity` requests at once, its bodies in `memory` of the pool's arena.
    package init(world: SimulatedWorld, pool: SlabPool, memory: ArenaRange, capacity: Int) {
        self.world = world
        self.pool = pool
        let body = ByteCount(UInt64(BodyLayout.bodyLimitBytes))
        slots = (0..<capacity).map { index in
            let start = UInt64(index) * 2 * body.rawValue
            return Slot(
                body: memory.part(at: start, length: body),
                responseBody: memory.part(at: start + body.rawValue, length: body))
        }
    }

    /// Requests sent and not yet answered.
    package var unansweredCount: Int { slots.count { $0.state != .free } }

    /// Requests that the engine has not taken yet.
    package var queuedCount: Int { queue.count }

    /// Sends a request; nil when no place or no slab is free: send it again later.
    package func send(_ order: RequestOrder) -> RequestNumber? {
        precondition(
            order.bodyWords.count * 8 <= Int(BodyLayout.bodyLimitBytes), "a body above the limit")
        guard let place = slots.firstIndex(where: { $0.state == .free }) else { return nil }
        let slot = slots[place]
        if !order.payload.isEmpty {
            guard let lease = pool.lease(lengthBytes: ByteCount(order.payload.count)) else {
                return nil
            }
            lease.copyIn(order.payload)
            slot.payload = consume lease
        }
        for (index, word) in order.bodyWords.enumerated() {
            pool.arena.storeWord(word, at: slot.body.start.advanced(by: UInt64(index) * 8))
        }
        slot.state = .queued
        slot.generation &+= 1
        slot.number = RequestNumber(nextNumber)
        slot.order = order
        slot.arrival = world.now
        nextNumber += 1
        queue.append(place)
        world.note(
            .requested, slot.number.rawValue, UInt64(order.operation.rawValue),
            checksum(of: order.payload))
        return slot.number
    }

    /// Closes a session: answers to its requests go nowhere from now on.
    package func closeSession(_ session: UInt32) { closedSessions.append(session) }

    // MARK: Transport

    package func nextRequest(now: Instant) -> Request? {
        guard !queue.isEmpty else { return nil }
        let place = queue.removeFirst()
        let slot = slots[place]
        slot.state = .taken
        let payload = slot.order.payload
        return Request(
            handle: RequestHandle(index: UInt32(place), generation: slot.generation),
            operation: slot.order.operation, namespace: slot.order.namespace,
            deadline: slot.order.deadline, arrival: slot.arrival,
            body: ArenaRange(
                start: slot.body.start, length: ByteCount(slot.order.bodyWords.count * 8)),
            responseBody: slot.responseBody, payloadBytes: UInt32(payload.count),
            payloadChecksum: slot.order.payloadChecksum
                ?? (payload.isEmpty ? 0 : checksum(of: payload)))
    }

    package func takePayload(of request: RequestHandle) -> SlabLease? {
        slot(of: request).payload.take()
    }

    package func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?
    ) {
        let slot = slot(of: request)
        precondition(
            response.bodyBytes <= BodyLayout.bodyLimitBytes
                && response.bodyBytes.isMultiple(of: 8),
            "a response body of \(response.bodyBytes) bytes")
        var bytes: [UInt8] = []
        if response.payloadBytes > 0 {
            guard let lease = payload.take() else {
                preconditionFailure("a response payload without a lease")
            }
            bytes = lease.copyOut(count: UInt64(response.payloadBytes))
        }
        let words = (0..<UInt64(response.bodyBytes / 8)).map { index in
            pool.arena.loadWord(slot.responseBody.start.advanced(by: index * 8))
        }
        slot.state = .free
        slot.payload = nil
        world.note(
            .replied, slot.number.rawValue, UInt64(response.status.rawValue), checksum(of: bytes))
        if closedSessions.contains(slot.order.session) {
            droppedReplies += 1
            return
        }
        replyObserver?(
            Reply(
                request: slot.number, order: slot.order, status: response.status, bodyWords: words,
                payload: bytes,
                isPayloadWhole: bytes.isEmpty || checksum(of: bytes) == response.payloadChecksum,
                at: world.now))
    }

    private func slot(of request: RequestHandle) -> Slot {
        precondition(Int(request.index) < slots.count, "request \(request.index) is no slot")
        let slot = slots[Int(request.index)]
        precondition(
            slot.state == .taken && slot.generation == request.generation,
            "request \(slot.number.rawValue) is not the engine's any more")
        return slot
    }
}
