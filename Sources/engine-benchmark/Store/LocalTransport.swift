// LocalTransport: a transport without a network: requests made in the engine's own process, a fixed
// number of them in flight.
//
// Always holds: a put's payload is a slab filled once, before anything was measured; its checksum
// was known before for a whole slab, and is computed here for a part of one. What a get brings is
// dropped: the engine has verified it. Puts must not follow gets, which write into the slabs.

#if IOUring

import Engine
import Wire

/// One thing to ask of the engine.
struct LocalTask {
    var operation: OperationCode
    var key: BlockKey
    var lengthBytes: UInt32 = 0
}

/// How the requests of a run have ended so far.
struct LocalOutcomes {
    var ok = 0
    var notFound = 0
    var others = 0
    var lastFailure: Status?
    var all: Int { ok + notFound + others }
}

/// The transport. Confined to its engine's thread.
struct LocalTransport: ~Copyable, Transport {
    /// Bytes of a request's body and of its response's body.
    private static let bodyBytes: UInt64 = 64

    private let arena: Arena
    private let bodies: ArenaRange
    private let slabs: SlabPool
    /// Of each slab as a whole; nil once a shorter value has been put from it, because the engine
    /// fills up the last block with zeros.
    private var wholeSlabChecksums: [UInt64?]
    private var free: [UInt32] = []
    private var waiting: [LocalTask] = []
    private var firstWaiting = 0
    private var payload: SlabLease?
    private let depth: Int
    var outcomes = LocalOutcomes()

    static func memoryBytes(depth: Int) -> ByteCount {
        ByteCount(UInt64(depth) * 2 * bodyBytes).roundedUp(to: ByteCount(UInt64(4096)))
    }

    /// Fills every slab of `slabs`, which nobody uses yet. `bodies` holds `memoryBytes`.
    init(arena: Arena, bodies: ArenaRange, slabs: SlabPool, depth: Int, seed: UInt64) {
        self.arena = arena
        self.bodies = bodies
        self.slabs = slabs
        self.depth = depth
        free = (0..<UInt32(depth)).reversed()
        waiting.reserveCapacity(depth)
        var generator = SeededGenerator(seed: seed)
        var checksums: [UInt64?] = []
        for index in 0..<slabs.slabCount {
            let slab = slabs.region.part(
                at: UInt64(index) * slabs.slabBytes.rawValue, length: slabs.slabBytes)
            for word in 0..<slab.length.rawValue / 8 {
                arena.storeWord(generator.next(), at: slab.start.advanced(by: word * 8))
            }
            checksums.append(arena.checksum(slab))
        }
        wholeSlabChecksums = checksums
    }

    /// Whether another task may be given.
    var hasRoom: Bool { free.count > waiting.count - firstWaiting }

    /// Takes a task; the engine gets it at its next step.
    mutating func add(_ task: LocalTask) {
        precondition(hasRoom, "more than \(depth) requests in flight")
        waiting.append(task)
    }

    mutating func nextRequest(now: Instant) -> Request? {
        guard firstWaiting < waiting.count else { return nil }
        let task = waiting[firstWaiting]
        var checksum: UInt64 = 0
        if task.operation == .tcpPut {
            guard let lease = slabs.lease(lengthBytes: ByteCount(UInt64(task.lengthBytes))) else {
                return nil
            }
            checksum = self.checksum(of: lease, lengthBytes: task.lengthBytes)
            payload = consume lease
        }
        firstWaiting += 1
        if firstWaiting == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            firstWaiting = 0
        }
        let index = free.removeLast()
        let body = part(2 * UInt64(index), length: ByteCount(UInt64(BodyLayout.keyBytes)))
        arena.storeKey(task.key, at: body.start)
        return Request(
            handle: RequestHandle(index: index, generation: 0), operation: task.operation,
            namespace: task.key.namespace, deadline: .never, arrival: now, body: body,
            responseBody: part(2 * UInt64(index) + 1, length: ByteCount(Self.bodyBytes)),
            payloadBytes: task.lengthBytes, payloadChecksum: checksum)
    }

    mutating func takePayload(of request: RequestHandle) -> SlabLease? { payload.take() }

    mutating func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?
    ) {
        free.append(request.index)
        switch response.status {
        case .ok: outcomes.ok += 1
        case .notFound: outcomes.notFound += 1
        default:
            outcomes.others += 1
            outcomes.lastFailure = response.status
        }
    }

    private func part(_ place: UInt64, length: ByteCount) -> ArenaRange {
        bodies.part(at: place * Self.bodyBytes, length: length)
    }

    private mutating func checksum(
        of lease: borrowing SlabLease, lengthBytes: UInt32
    ) -> UInt64 {
        precondition(lease.count == 1, "a payload longer than a slab")
        let range = lease.piece(at: 0, limit: ByteCount(UInt64(lengthBytes)))
        let distance = range.start.rawValue - slabs.region.start.rawValue
        let slab = Int(distance / slabs.slabBytes.rawValue)
        if range.length != slabs.slabBytes {
            wholeSlabChecksums[slab] = nil
        } else if let known = wholeSlabChecksums[slab] {
            return known
        }
        return arena.checksum(range)
    }
}

#endif
