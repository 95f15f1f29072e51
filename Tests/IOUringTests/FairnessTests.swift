// Whose turn it is, in counts: what a greedy session gets while a modest one waits. No times.

#if IOUring

import Engine
import Glibc
import IOUring
import Testing
import Wire

@Suite(.serialized) struct FairnessTests {
    private static let greedyNamespace: UInt32 = 10
    private static let modestNamespace: UInt32 = 11

    private func get(_ id: Int, _ namespace: UInt32, bytes: Int) -> [UInt8] {
        TestClient.frame(
            .tcpGet, id: UInt64(id), namespace: namespace, body: TestClient.lengthBody(bytes))
    }

    /// Takes `count` answers on a thread of its own, so that nobody else has to.
    private func drain(_ client: TestClient, _ count: Int) {
        for _ in 0..<count where client.receive() == nil { return }
    }

    /// A modest request that comes behind sixty large ones is served behind one or two of them.
    @Test func aModestRequestPassesAGreedySessionsQueue() throws {
        try withServer { server in
            let greedy = TestClient(port: server.port)
            let modest = TestClient(port: server.port)
            server.shutGate()
            for id in 0..<60 { greedy.send(get(id, Self.greedyNamespace, bytes: 512 << 10)) }
            #expect(server.eventually { $0.freeRequests == 512 - 60 })
            modest.send(get(1, Self.modestNamespace, bytes: 4096))
            #expect(server.eventually { $0.freeRequests == 512 - 61 })
            server.openGate()
            #expect(modest.receive()?.payload.count == 4096)
            let place = try #require(server.handedOver.firstIndex(of: Self.modestNamespace))
            #expect(place <= 2)
            drain(greedy, 60)
        }
    }

    /// Two queues of the same work, in large and in small requests: the small ones get half.
    @Test func sessionsAreServedByBytesAndNotByRequests() throws {
        try withServer { server in
            let large = TestClient(port: server.port)
            let small = TestClient(port: server.port)
            // So that what they expect of a response is what comes.
            large.send(get(1, 0, bytes: 256 << 10))
            drain(large, 1)
            small.send(get(1, 0, bytes: 24 << 10))
            drain(small, 1)
            server.shutGate()
            for id in 0..<60 { large.send(get(id, Self.greedyNamespace, bytes: 256 << 10)) }
            for id in 0..<60 { small.send(get(id, Self.modestNamespace, bytes: 24 << 10)) }
            #expect(server.eventually { $0.freeRequests == 512 - 120 })
            server.openGate()
            drain(small, 60)
            let order = server.handedOver
            let last = try #require(order.lastIndex(of: Self.modestNamespace))
            let before = order[...last].count { $0 == Self.greedyNamespace }
            // Sixty small ones are 1.9 MiB of work, 32 KiB each; as much of the large one's is
            // seven requests; one more for each round's rest.
            #expect(before <= 12, "\(before) large requests before the last small one")
            drain(large, 60)
        }
    }

    /// A session that takes no responses doesn't keep its neighbour's from being served.
    @Test func aSessionAtItsShareIsPassedOver() throws {
        try withServer { server in
            let silent = TestClient(port: server.port)
            for id in 0..<60 { silent.send(get(id, Self.greedyNamespace, bytes: 1 << 20)) }
            // Eight MiB are what a session may have; the rest is in its socket's buffers.
            #expect(server.eventually { $0.counters.value(.postponedResponses) > 0 })
            let modest = TestClient(port: server.port)
            for id in 0..<50 {
                modest.send(get(id, Self.modestNamespace, bytes: 300_000))
                #expect(modest.receive()?.payload.count == 300_000)
                #expect(server.pool.freeSlabs >= 256 - 128 - 5)
            }
        }
    }
}

#endif
