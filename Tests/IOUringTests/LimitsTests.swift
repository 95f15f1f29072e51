// Limits of sessions, one by one, against real sockets: what ends a connection, what it is counted
// as, and what doesn't end it.

#if IOUring

import Engine
import Glibc
import Synchronization
import Testing
import Wire

@testable import IOUring

@Suite(.serialized) struct LimitsTests {
    private let key = [UInt8](repeating: 7, count: 32)

    /// A server whose deadlines are short, `shorten` further.
    private func configuration(
        _ shorten: (inout SessionLimits) -> Void = { _ in }
    ) -> EchoConfiguration {
        var configuration = EchoConfiguration()
        shorten(&configuration.transport.limits)
        return configuration
    }

    @Test func aConnectionThatDoesNotGreetIsEnded() throws {
        try withServer(configuration { $0.halfOpenMicroseconds = 200_000 }) { server in
            let silent = TestClient(port: server.port, greets: false)
            #expect(silent.isAtEnd())
            let slow = TestClient(port: server.port, greets: false)
            slow.send(Array(TestClient.connectFrame().prefix(70)))
            #expect(slow.isAtEnd())
            #expect(server.counters.value(.overdueGreetings) == 2)
        }
    }

    @Test func aHeaderThatStaysUnfinishedEndsItsConnection() throws {
        try withServer(configuration { $0.headerMicroseconds = 200_000 }) { server in
            let slow = TestClient(port: server.port)
            slow.send(Array(TestClient.frame(.tcpGet, id: 2, body: key).prefix(63)))
            #expect(slow.isAtEnd())
            #expect(server.counters.value(.overdueHeaders) == 1)
        }
    }

    @Test func aBodyThatStaysUnfinishedEndsItsConnection() throws {
        try withServer(configuration { $0.frameMicroseconds = 200_000 }) { server in
            let slow = TestClient(port: server.port)
            slow.send(Array(TestClient.frame(.tcpGet, id: 2, body: key).prefix(65)))
            #expect(slow.isAtEnd())
            #expect(server.counters.value(.overdueFrames) == 1)
        }
    }

    @Test func aResponseThatNobodyTakesEndsItsConnection() throws {
        try withServer(configuration { $0.responseMicroseconds = 300_000 }) { server in
            do {
                let silent = TestClient(port: server.port)
                for id in 0..<40 {
                    silent.send(
                        TestClient.frame(
                            .tcpGet, id: UInt64(id), body: TestClient.lengthBody(2 << 20)))
                }
                #expect(server.eventually { $0.counters.value(.overdueResponses) == 1 })
                #expect(server.eventually { $0.pool.freeSlabs == 256 })
            }
            #expect(server.eventually { $0.isAtStart })
        }
    }

    @Test func aRefusedClientThatStaysIsEnded() throws {
        try withServer(configuration { $0.responseMicroseconds = 300_000 }) { server in
            let client = TestClient(port: server.port)
            client.send(TestClient.connectFrame())
            #expect(client.receive()?.header.status == .invalidRequest)
            #expect(server.eventually { $0.counters.value(.overdueFarewells) == 1 })
            #expect(server.eventually { $0.isAtStart })
        }
    }

    /// Twice as long as every deadline, between two frames.
    @Test func aGreetedSessionMayBeSilent() throws {
        let short = configuration {
            $0.halfOpenMicroseconds = 200_000
            $0.headerMicroseconds = 200_000
            $0.frameMicroseconds = 200_000
            $0.responseMicroseconds = 200_000
        }
        try withServer(short) { server in
            let client = TestClient(port: server.port)
            for id in 2..<4 {
                usleep(400_000)
                client.send(
                    TestClient.frame(.tcpGet, id: UInt64(id), body: TestClient.lengthBody(100)))
                #expect(client.receive()?.payload.count == 100)
            }
        }
    }

    /// The engine takes nothing: the transport itself answers by the deadline.
    @Test func aRequestThatTheEngineDoesNotTakeIsAnsweredByItsDeadline() throws {
        try withServer { server in
            let client = TestClient(port: server.port)
            server.shutGate()
            let header = FrameHeader(
                operation: .tcpPut, requestID: 9, bodyBytes: 32, payloadBytes: 5,
                deadlineMicroseconds: 300_000)
            client.send(TestClient.bytes(of: header.words) + key + [1, 2, 3, 4, 5])
            let reply = client.receive()
            #expect(reply?.header.status == .deadlineExceeded)
            #expect(reply?.header.requestID == 9)
            #expect(server.counters.value(.overdueRequests) == 1)
            server.openGate()
            client.send(TestClient.frame(.tcpGet, id: 10, body: TestClient.lengthBody(3)))
            #expect(client.receive()?.payload.count == 3)
        }
    }

    @Test func anAddressHasItsShareOfSessions() throws {
        try withServer(configuration { $0.sessionsPerAddress = 2 }) { server in
            let first = TestClient(port: server.port)
            let second = TestClient(port: server.port)
            let third = TestClient(port: server.port, greets: false)
            #expect(third.isAtEnd())
            #expect(server.counters.value(.refusedAddresses) == 1)
            #expect(server.counters.value(.refusedConnections) == 0)
            withExtendedLifetime((first, second)) {}
        }
    }

    /// Two shards' transports, one budget.
    @Test func theLimitOfSessionsHoldsForAllShardsTogether() throws {
        var shared = configuration { $0.sessionsPerAddress = 3 }
        try withServer(shared) { server in
            shared.budget = server.sharedBudget
            try withServer(shared) { other in
                do {
                    let here = TestClient(port: server.port)
                    let there = [TestClient(port: other.port), TestClient(port: other.port)]
                    #expect(TestClient(port: server.port, greets: false).isAtEnd())
                    #expect(TestClient(port: other.port, greets: false).isAtEnd())
                    withExtendedLifetime((here, there)) {}
                }
                #expect(server.eventually { $0.isAtStart })
                #expect(other.eventually { $0.isAtStart })
                #expect(TestClient(port: other.port).receive(count: 0) == [])
            }
        }
    }

    // MARK: The rules by themselves

    @Test func placesAreCountedByAddress() {
        var configuration = TransportConfiguration()
        configuration.limits.sessions = 5
        configuration.limits.sessionsPerAddress = 2
        let pool = Self.pool(slabs: 64)
        let budget = TransportBudget(configuration: configuration, slabs: pool, seed: 3)
        let addresses = (0..<3).map { PeerAddress(bits: $0, isIPv6: false) }
        #expect(budget.admit(addresses[0]) == .admitted)
        #expect(budget.admit(addresses[0]) == .admitted)
        #expect(budget.admit(addresses[0]) == .addressHasItsShare)
        #expect(budget.admit(PeerAddress(bits: 0, isIPv6: true)) == .admitted)
        #expect(budget.admit(addresses[1]) == .admitted)
        #expect(budget.admit(addresses[2]) == .admitted)
        #expect(budget.admit(addresses[1]) == .everyPlaceTaken)
        budget.leave(addresses[0])
        #expect(budget.admit(addresses[1]) == .admitted)
    }

    @Test(arguments: 1...20) func greedySessionsLeaveAsMuchAsEachOfThemHas(sessions: Int) {
        var held = [UInt64](repeating: 0, count: sessions)
        var free: UInt64 = 128
        var isTaking = true
        while isTaking {
            isTaking = false
            for session in 0..<sessions
            where Shares.permit(1, held: held[session], free: free, limit: 1000) {
                held[session] += 1
                free -= 1
                isTaking = true
            }
        }
        #expect(free >= UInt64(128 / (sessions + 1)))
        #expect((held.max() ?? 0) - (held.min() ?? 0) <= 1)
        // Who has nothing may take whatever is free, and no more.
        #expect(Shares.permit(free, held: 0, free: free, limit: 1000))
        #expect(!Shares.permit(free + 1, held: 0, free: free, limit: 1000))
    }

    private static func pool(slabs: UInt64) -> SlabPool {
        let bytes = ByteCount(slabs << 20)
        guard let mapping = try? mapArena(bytes: bytes) else {
            preconditionFailure("no memory for a test")
        }
        return SlabPool(
            arena: mapping.arena, region: ArenaRange(start: ArenaOffset(0), length: bytes),
            slabBytes: ByteCount(UInt64(1 << 20)))
    }
}

#endif
