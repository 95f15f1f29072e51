// A shard thread with the real RDMA transport and an engine that keeps what it is given: writes are
// stored by key, reads give it back, in memory.

#if IOUring && Verbs

import Engine
import Glibc
import IOUring
import QueuePairs
import RDMA
import Synchronization
import Testing
import Verbs
import Wire

/// Every namespace is open but 7.
private final class OpenToAll: RDMAOwners {
    func mayUse(_ namespace: Namespace, _ owner: OwnerSession) -> Bool {
        namespace.rawValue != 7
    }
}

/// A server on its own thread, for one client.
final class PairServer: Sendable {
    static let owner = OwnerSession(42)
    static let leasesPerSession = 4
    static let slabBytes = 16 << 10
    let service: RDMAService
    let pool: SlabPool
    let cells = ShardCells(driveCount: 1)
    private let arena: Arena
    private let secret: Secret?
    private let offers = Mutex<[QueuePairAnswer]>([])
    private let wantsOffer = Atomic<Bool>(false)
    private let endsOwner = Atomic<Bool>(false)
    private let drains = Atomic<Bool>(false)
    private let isStopping = Atomic<Bool>(false)
    private let isStopped = Atomic<Bool>(false)

    init(
        device: String, port: UInt16, secret: Secret?, leaseMicroseconds: UInt64 = 60_000_000
    ) throws {
        self.secret = secret
        var limits = SessionLimits()
        limits.payloadLimitBytes = 4 << 20
        limits.bytesPerSession = 8 << 20
        var configuration = RDMAConfiguration(limits: limits)
        configuration.queuePairs = 4
        configuration.leasesPerSession = Self.leasesPerSession
        configuration.leaseMicroseconds = leaseMicroseconds
        let slabBytes = ByteCount(UInt64(16 << 10) * 1024)
        arena = try mapArena(
            bytes: ByteCount(slabBytes.rawValue + configuration.memoryBytes.rawValue + 8192)
        ).arena
        var planner = ArenaPlanner(length: arena.length)
        guard let slabs = planner.take(slabBytes),
            let messages = planner.take(configuration.memoryBytes)
        else { preconditionFailure("an arena too small for its own plan") }
        pool = SlabPool(arena: arena, region: slabs, slabBytes: ByteCount(UInt64(16 << 10)))
        service = RDMAService(
            devices: [NamedDevice(device)], network: RDMAAddress(v4: [0, 0, 0, 0]), port: port,
            configuration: configuration, slabs: pool, ranges: [messages], wakeShard: { _ in })
        unsafe start(runControl)
        unsafe start(runShard)
    }

    private func start(
        _ body: @escaping @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    ) {
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        precondition(unsafe pthread_create(&thread, nil, body, context) == 0, "no thread")
        pthread_detach(thread)
    }

    fileprivate func control() { RDMAControl.run(service) { _ in } }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        #expect(eventually { $0.isStopped.load(ordering: .acquiring) })
    }

    /// What RdmaOpen would be answered now.
    func offer() -> QueuePairAnswer {
        wantsOffer.store(true, ordering: .releasing)
        while true {
            if let answer = offers.withLock({ $0.popLast() }) { return answer }
            usleep(2000)
        }
    }

    /// Ends the TCP session that the queue pairs belong to.
    func endOwner() { endsOwner.store(true, ordering: .releasing) }

    /// As a daemon that is asked to stop does.
    func drain() { drains.store(true, ordering: .releasing) }

    func eventually(_ condition: (PairServer) -> Bool) -> Bool {
        for _ in 0..<3000 {
            if condition(self) { return true }
            usleep(10_000)
        }
        return condition(self)
    }

    /// No slab, no lease and no queue pair in use.
    var isAtStart: Bool { hasNoLease && cells.value(ShardGauge.rdmaConnections) == 0 }

    var hasNoLease: Bool {
        pool.freeSlabs == Int(pool.slabCount) && service.activeLeases == 0
    }

    fileprivate func run() {
        let owners = OpenToAll()
        let (transport, _) = ShardQueuePairs.transport(
            of: service, shard: 0, slabs: pool, cells: cells)
        transport.owners = owners
        var values: [BlockKey: [UInt8]] = [:]
        while !isStopping.load(ordering: .acquiring) {
            if wantsOffer.exchange(false, ordering: .acquiring) {
                let answer = transport.open(for: Self.owner, secret: secret, now: now())
                offers.withLock { $0.append(answer) }
            }
            if endsOwner.exchange(false, ordering: .acquiring) {
                transport.ownerEnded(Self.owner)
            }
            if drains.exchange(false, ordering: .acquiring) { transport.beginDrain() }
            // No ring here: every look is as if a descriptor had become readable.
            transport.notified()
            var hasWorked = transport.look(now: now())
            while let request = transport.nextRequest(now: now()) {
                hasWorked = true
                answer(request, transport, &values)
            }
            if !hasWorked { usleep(2000) }
        }
        isStopped.store(true, ordering: .releasing)
    }

    private func answer(
        _ request: Request, _ transport: RDMATransport, _ values: inout [BlockKey: [UInt8]]
    ) {
        let key = arena.loadKey(request.body.start, namespace: request.namespace)
        switch request.operation {
        case .tcpPut:
            guard let lease = transport.takePayload(of: request.handle) else { return }
            let bytes = Self.bytes(lease, Int(request.payloadBytes), arena)
            let isRight = unsafe bytes.withUnsafeBytes {
                unsafe Digest.xxh3($0) == request.payloadChecksum
            }
            if isRight { values[key] = bytes }
            transport.respond(
                to: request.handle,
                with: Response(status: isRight ? .ok : .checksumMismatch), payload: nil)
        case .tcpGet:
            guard let value = values[key] else {
                transport.respond(
                    to: request.handle, with: Response(status: .notFound), payload: nil)
                return
            }
            let length = UInt64(value.count)
            guard transport.admitsResponse(to: request.handle, lengthBytes: length) else {
                return
            }
            guard let lease = pool.lease(lengthBytes: ByteCount(length)) else {
                preconditionFailure("an admitted response without slabs")
            }
            Self.fill(lease, value, arena)
            let checksum = unsafe value.withUnsafeBytes { unsafe Digest.xxh3($0) }
            transport.respond(
                to: request.handle,
                with: Response(
                    status: .ok, payloadBytes: UInt32(length), payloadChecksum: checksum),
                payload: lease)
        case .exists:
            let isThere = values[key] != nil
            arena.storeWord(
                UInt64((isThere ? Status.ok : Status.notFound).rawValue),
                at: request.responseBody.start)
            transport.respond(
                to: request.handle, with: Response(status: .ok, bodyBytes: 8), payload: nil)
        default:
            transport.respond(
                to: request.handle, with: Response(status: .invalidRequest), payload: nil)
        }
    }

    private static func bytes(
        _ lease: borrowing SlabLease, _ count: Int, _ arena: Arena
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let piece = lease.piece(
                at: UInt64(bytes.count), limit: ByteCount(count - bytes.count))
            unsafe bytes.append(contentsOf: arena.bytes(piece))
        }
        return bytes
    }

    private static func fill(_ lease: borrowing SlabLease, _ value: [UInt8], _ arena: Arena) {
        var offset = 0
        while offset < value.count {
            let piece = lease.piece(
                at: UInt64(offset), limit: ByteCount(value.count - offset))
            let count = Int(piece.length.rawValue)
            unsafe arena.bytes(piece).copyBytes(from: value[offset..<(offset + count)])
            offset += count
        }
    }
}

/// Threads must start in a global function.
private func runShard(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context = unsafe context else { return nil }
    unsafe Unmanaged<PairServer>.fromOpaque(context).takeRetainedValue().run()
    return nil
}

private func runControl(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context = unsafe context else { return nil }
    unsafe Unmanaged<PairServer>.fromOpaque(context).takeRetainedValue().control()
    return nil
}

#endif
