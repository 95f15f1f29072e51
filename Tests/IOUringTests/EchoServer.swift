// A shard thread with the real ring and the real transport, and an engine that only echoes.
//
// tcpPut: answered with its own payload. tcpGet: answered with as many bytes of a pattern as the
// first word of its key says. exists: answered with its own body. Requests of namespace 1 are held
// until eight are there and answered last one first. The stopped server's counts must be its start
// values.

#if IOUring

import Engine
import Glibc
import IOUring
import Ring
import Synchronization
import Testing
import Wire

/// What a test's server is made of.
struct EchoConfiguration: Sendable {
    var transport = TransportConfiguration()
    var slabBytes: UInt64 = 64 << 10
    var slabCount: UInt64 = 256

    init() { transport.payloadLimitBytes = 2 << 20 }
}

/// A server on its own thread. `stop` ends it.
final class EchoServer: Sendable {
    let configuration: EchoConfiguration
    let listener: TCPListener
    let keys: ServerKeys
    let counters = TransportCounters()
    let pool: SlabPool
    private let arena: Arena
    private let transportRange: ArenaRange
    /// Request entries nobody uses, as of the last turn of the loop.
    private let freeRequestCount = Atomic<Int>(-1)
    private let held = Atomic<Int>(0)
    private let isStopping = Atomic<Bool>(false)
    private let waker = Mutex<RingWaker?>(nil)
    private let thread = Mutex<pthread_t>(0)

    /// Requests of this namespace are held, and answered in reverse.
    static let heldNamespace = Namespace(1)
    static let heldCount = 8

    init(
        _ configuration: EchoConfiguration = EchoConfiguration(), keys: ServerKeys = ServerKeys()
    ) throws {
        self.configuration = configuration
        self.keys = keys
        let slabBytes = ByteCount(configuration.slabBytes * configuration.slabCount)
        let transportBytes = configuration.transport.memoryBytes.roundedUp(to: ByteCount(4096))
        arena = try mapArena(
            bytes: ByteCount(slabBytes.rawValue + transportBytes.rawValue)
        ).arena
        var planner = ArenaPlanner(length: arena.length)
        guard let transportRange = planner.take(transportBytes),
            let slabRange = planner.take(slabBytes)
        else { preconditionFailure("an arena too small for its own plan") }
        self.transportRange = transportRange
        pool = SlabPool(
            arena: arena, region: slabRange, slabBytes: ByteCount(configuration.slabBytes))
        listener = try TCPListener(address: "127.0.0.1", port: 0)
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        thread.withLock { thread in
            let result = unsafe pthread_create(&thread, nil, runEchoServer, context)
            precondition(result == 0, "no thread: \(SystemError(result))")
        }
        while freeRequestCount.load(ordering: .acquiring) < 0 { usleep(1000) }
    }

    var port: UInt16 { listener.port }
    var freeRequests: Int { freeRequestCount.load(ordering: .acquiring) }
    /// Requests held back until there are eight.
    var heldRequests: Int { held.load(ordering: .relaxed) }

    /// Has the server look at what has changed.
    func wake() { waker.withLock { $0?.wake() } }

    /// Ends every connection and the thread.
    func stop() {
        isStopping.store(true, ordering: .releasing)
        waker.withLock { $0?.wake() }
        let thread = thread.withLock { $0 }
        pthread_join(thread, nil)
    }

    /// Waits until `condition` holds; false when it doesn't after ten thousand looks.
    func eventually(_ condition: (EchoServer) -> Bool) -> Bool {
        for _ in 0..<10_000 {
            if condition(self) { return true }
            usleep(1000)
        }
        return condition(self)
    }

    /// True when no slab and no request entry is in use and no connection stands.
    var isAtStart: Bool {
        pool.freeSlabs == Int(pool.slabCount)
            && freeRequestCount.load(ordering: .relaxed) == configuration.transport.requestLimit
            && counters.value(.activeConnections) == 0
    }

    fileprivate func run() {
        do {
            let shard = try ShardRing(
                arena: arena,
                inFlightLimit: TCPTransport.inFlightLimit(for: configuration.transport))
            waker.withLock { $0 = shard.waker }
            let transport = TCPTransport(
                shard: shard, listener: listener, configuration: configuration.transport,
                range: transportRange, slabs: pool, counters: counters,
                greeting: ConnectResponse(
                    version: FrameHeader.version, batchLimit: BodyLayout.batchLimit,
                    bodyLimitBytes: BodyLayout.bodyLimitBytes,
                    payloadLimitBytes: configuration.transport.payloadLimitBytes,
                    valueLimitBytes: 16 << 20, requestsInFlight: 64, storeID: [1, 2]), keys: keys)
            transport.startListening()
            freeRequestCount.store(transport.freeRequests, ordering: .releasing)
            var held: [Request] = []
            while !isStopping.load(ordering: .acquiring) {
                let didWork = step(transport, &held)
                self.held.store(held.count, ordering: .relaxed)
                freeRequestCount.store(transport.freeRequests, ordering: .releasing)
                shard.enter(wait: !didWork)
            }
            transport.stopListening()
            transport.closeSessions()
            for request in held {
                transport.respond(
                    to: request.handle, with: Response(status: .shuttingDown), payload: nil)
            }
            while !transport.isIdle { shard.enter(wait: true) }
            freeRequestCount.store(transport.freeRequests, ordering: .releasing)
        } catch {
            preconditionFailure("the test's server could not start: \(error)")
        }
    }

    private func step(_ transport: TCPTransport, _ held: inout [Request]) -> Bool {
        var didWork = false
        while let request = transport.nextRequest(now: now()) {
            didWork = true
            if request.namespace == Self.heldNamespace {
                held.append(request)
                guard held.count == Self.heldCount else { continue }
                for late in held.reversed() { answer(late, transport) }
                held.removeAll(keepingCapacity: true)
            } else {
                answer(request, transport)
            }
        }
        return didWork
    }

    private func answer(_ request: Request, _ transport: TCPTransport) {
        switch request.operation {
        case .tcpPut:
            let payload = transport.takePayload(of: request.handle)
            let response = Response(
                status: .ok, payloadBytes: request.payloadBytes,
                payloadChecksum: request.payloadChecksum)
            transport.respond(to: request.handle, with: response, payload: payload)
        case .tcpGet:
            let length = UInt32(truncatingIfNeeded: arena.loadWord(request.body.start))
            guard let lease = pool.lease(lengthBytes: ByteCount(UInt64(length))) else {
                transport.respond(to: request.handle, with: Response(status: .busy), payload: nil)
                return
            }
            transport.respond(
                to: request.handle, with: Response(status: .ok, payloadBytes: length),
                payload: lease)
        case .exists:
            arena.copy(
                from: request.body.start, to: request.responseBody.start,
                length: request.body.length)
            let response = Response(
                status: .ok, bodyBytes: UInt32(request.body.length.rawValue))
            transport.respond(to: request.handle, with: response, payload: nil)
        default:
            transport.respond(
                to: request.handle, with: Response(status: .invalidRequest), payload: nil)
        }
    }
}

/// Runs `body` against a server of its own, which must end with everything free.
func withServer(
    _ configuration: EchoConfiguration = EchoConfiguration(), keys: ServerKeys = ServerKeys(),
    _ body: (EchoServer) throws -> Void
) throws {
    let server = try EchoServer(configuration, keys: keys)
    do {
        try body(server)
    } catch {
        server.stop()
        throw error
    }
    server.stop()
    #expect(server.isAtStart, "every slab, entry and session is free after the server's end")
    #expect(server.pool.doubleFreeCount == 0)
}

/// Threads must start in a global function.
private func runEchoServer(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context = unsafe context else { return nil }
    unsafe Unmanaged<EchoServer>.fromOpaque(context).takeRetainedValue().run()
    return nil
}

#endif
