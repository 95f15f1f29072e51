// TCP on the ring, with real sockets against an engine that only echoes: what a well-behaved client
// sees.

#if IOUring

import ContractSuites
import Engine
import IOUring
import Testing
import Wire

@Suite(.serialized) struct TransportTests {
    private func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { bytes += TestClient.littleEndian(generator.next()) }
        return Array(bytes.prefix(count))
    }

    private let key = [UInt8](repeating: 7, count: 32)

    @Test func connectIsAnsweredWithTheLimits() throws {
        try withServer { server in
            let client = TestClient(port: server.port, greets: false)
            client.send(TestClient.connectFrame(highest: 9))
            let reply = try #require(client.receive())
            #expect(reply.header.status == .ok)
            #expect(reply.header.isResponse)
            var words = InlineArray<5, UInt64>(repeating: 0)
            for index in 0..<40 {
                words[index / 8] |= UInt64(reply.body[index]) << UInt64(index % 8 * 8)
            }
            let limits = ConnectResponse(words: words)
            #expect(limits.version == 1)
            #expect(limits.payloadLimitBytes == server.configuration.transport.payloadLimitBytes)
            #expect(limits.storeID[1] == 2)
        }
    }

    /// Lengths around every boundary: nothing, the window, the slab, several slabs.
    @Test func payloadsOfEveryLengthComeBack() throws {
        try withServer { server in
            let client = TestClient(port: server.port)
            let slab = Int(server.configuration.slabBytes)
            let lengths = [
                0, 1, 31, 4000, 4095, 4096, 4097, slab - 1, slab, slab + 1, 3 * slab + 5, 20 * slab,
            ]
            for (index, length) in lengths.enumerated() {
                let payload = pattern(length, seed: UInt64(index))
                // Every other put follows a get: its payload's head was then read ahead.
                if index % 2 == 0 {
                    client.send(
                        TestClient.frame(.tcpGet, id: 5, body: TestClient.lengthBody(10)))
                    #expect(client.receive()?.payload.count == 10)
                }
                client.send(
                    TestClient.frame(.tcpPut, id: UInt64(index), body: key, payload: payload))
                let reply = try #require(client.receive())
                #expect(reply.header.requestID == UInt64(index))
                #expect(reply.payload == payload, "\(length) bytes")
            }
        }
    }

    @Test func bodiesOfEveryLengthComeBack() throws {
        try withServer { server in
            let client = TestClient(port: server.port)
            for length in [0, 32, 4096, Int(BodyLayout.bodyLimitBytes)] {
                let body = pattern(length, seed: UInt64(length))
                client.send(TestClient.frame(.exists, id: 3, body: body))
                #expect(client.receive()?.body == body, "\(length) bytes")
            }
        }
    }

    @Test func manyRequestsMayBeSentBeforeAnyAnswerIsRead() throws {
        try withServer { server in
            let client = TestClient(port: server.port)
            var frames: [UInt8] = []
            for id in 0..<200 {
                let payload = pattern(id * 37 % 9000, seed: UInt64(id))
                frames += TestClient.frame(.tcpPut, id: UInt64(id), body: key, payload: payload)
            }
            client.send(frames)
            for id in 0..<200 {
                let reply = try #require(client.receive())
                #expect(reply.header.requestID == UInt64(id))
                #expect(reply.payload == pattern(id * 37 % 9000, seed: UInt64(id)))
            }
        }
    }

    @Test func answersMayComeInAnotherOrder() throws {
        try withServer { server in
            let client = TestClient(port: server.port)
            for id in 0..<EchoServer.heldCount {
                client.send(
                    TestClient.frame(
                        .tcpPut, id: UInt64(id), namespace: EchoServer.heldNamespace.rawValue,
                        body: key, payload: pattern(100_000, seed: UInt64(id))))
            }
            for id in (0..<EchoServer.heldCount).reversed() {
                let reply = try #require(client.receive())
                #expect(reply.header.requestID == UInt64(id))
                #expect(reply.payload == pattern(100_000, seed: UInt64(id)))
            }
        }
    }

    @Test func aFrameMayComeByteByByte() throws {
        try withServer { server in
            let client = TestClient(port: server.port, greets: false)
            let payload = pattern(300, seed: 4)
            let frames =
                TestClient.connectFrame()
                + TestClient.frame(.tcpPut, id: 2, body: key, payload: payload)
                + TestClient.frame(.tcpGet, id: 3, body: TestClient.lengthBody(5))
            for byte in frames { client.send([byte]) }
            #expect(client.receive()?.header.operation == .connect)
            #expect(client.receive()?.payload == payload)
            #expect(client.receive()?.payload.count == 5)
        }
    }

    @Test func aClientThatStopsSendingStillGetsItsAnswers() throws {
        try withServer { server in
            let client = TestClient(port: server.port)
            for id in 0..<20 {
                client.send(
                    TestClient.frame(
                        .tcpGet, id: UInt64(id), body: TestClient.lengthBody(200_000)))
            }
            client.stopSending()
            for _ in 0..<20 { #expect(client.receive()?.payload.count == 200_000) }
            #expect(client.isAtEnd())
        }
    }

    /// Fewer entries and slabs than asked for at once: everyone waits their turn, and gets it.
    @Test func requestsBeyondTheTableAndTheSlabsWaitAndAreServed() throws {
        var configuration = EchoConfiguration()
        configuration.transport.requestLimit = 4
        configuration.transport.payloadLimitBytes = 256 << 10
        configuration.slabCount = 8
        try withServer(configuration) { server in
            let clients = (0..<8).map { _ in TestClient(port: server.port) }
            let payload = pattern(200_000, seed: 8)
            for client in clients {
                client.send(TestClient.frame(.tcpPut, id: 1, body: key, payload: payload))
            }
            for client in clients { #expect(client.receive()?.payload == payload) }
            let small = pattern(90_000, seed: 9)
            for id in 0..<10 {
                for client in clients {
                    client.send(
                        TestClient.frame(.tcpPut, id: UInt64(id), body: key, payload: small))
                }
                for client in clients { #expect(client.receive()?.payload == small) }
            }
        }
    }

    @Test func aClientThatNeverReadsHoldsItsShareAndNoMore() throws {
        var configuration = EchoConfiguration()
        configuration.transport.requestLimit = 100
        configuration.slabBytes = 1 << 20
        configuration.slabCount = 128
        try withServer(configuration) { server in
            let limit = configuration.transport.requestsPerSession
            do {
                let silent = TestClient(port: server.port)
                for id in 0..<500 {
                    silent.send(
                        TestClient.frame(
                            .tcpGet, id: UInt64(id), body: TestClient.lengthBody(1 << 20)))
                }
                #expect(
                    server.eventually { $0.freeRequests == 100 - limit })
                let other = TestClient(port: server.port)
                for id in 0..<100 {
                    let payload = pattern(5000, seed: UInt64(id))
                    other.send(
                        TestClient.frame(.tcpPut, id: UInt64(id), body: key, payload: payload))
                    #expect(other.receive()?.payload == payload)
                    #expect(server.freeRequests >= 100 - limit - 1)
                    #expect(server.pool.freeSlabs >= 128 - limit - 2)
                }
            }
            #expect(server.eventually { $0.isAtStart }, "everything is free after both closed")
        }
    }

    @Test func aFrameThatStaysUnfinishedEndsItsConnectionAtItsDeadline() throws {
        try withServer(EchoConfiguration()) { server in
            do {
                let stalled = TestClient(port: server.port)
                let header = FrameHeader(
                    operation: .tcpPut, requestID: 7, bodyBytes: 32, payloadBytes: 2 << 20,
                    deadlineMicroseconds: 2_000_000)
                stalled.send(TestClient.bytes(of: header.words) + key + [1, 2, 3])
                #expect(server.eventually { $0.pool.freeSlabs == 256 - 32 })
                #expect(stalled.isAtEnd())
                #expect(server.eventually { $0.pool.freeSlabs == 256 })
                #expect(server.counters.value(.overdueConnections) == 1)
            }
            #expect(server.eventually { $0.isAtStart })
        }
    }

    @Test func connectionsBeyondTheLimitAreClosedAndCounted() throws {
        var configuration = EchoConfiguration()
        configuration.transport.sessionLimit = 2
        try withServer(configuration) { server in
            let first = TestClient(port: server.port)
            let second = TestClient(port: server.port)
            let third = TestClient(port: server.port, greets: false)
            #expect(third.isAtEnd())
            #expect(server.counters.value(.refusedConnections) == 1)
            #expect(server.counters.value(.activeConnections) == 2)
            withExtendedLifetime((first, second)) {}
        }
    }
}

#endif
