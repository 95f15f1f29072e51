// TCP on the ring against clients that are broken, hostile, or gone.

#if IOUring

import ContractSuites
import Engine
import IOUring
import Testing
import Wire

@Suite(.serialized) struct TransportRefusalTests {
    /// A frame that must end its session.
    struct Offence: Sendable, CustomTestStringConvertible {
        let name: String
        let bytes: [UInt8]
        /// Nil when nothing must come back.
        let status: Status?
        let counter: TransportCounter
        var testDescription: String { name }

        init(
            _ name: String, _ status: Status?, _ counter: TransportCounter,
            word: Int = 0, set: UInt64 = 0, clear: UInt64 = 0, operation: OperationCode = .tcpGet,
            bodyBytes: UInt32 = 32, payloadBytes: UInt32 = 0
        ) {
            self.name = name
            self.status = status
            self.counter = counter
            var words =
                FrameHeader(
                    operation: operation, requestID: 77, bodyBytes: bodyBytes,
                    payloadBytes: payloadBytes
                ).words
            words[word] = words[word] & ~clear | set
            bytes = TestClient.bytes(of: words)
        }
    }

    static let offences = [
        Offence("no magic", nil, .refusedNotAFrame, clear: 0xFF),
        Offence(
            "version 2", .unsupportedVersion, .refusedUnsupportedVersion, set: 2 << 32,
            clear: 0xFFFF << 32),
        Offence("unknown operation", .invalidRequest, .refusedInvalid, set: 0xFF << 48),
        Offence("unknown flag", .invalidRequest, .refusedInvalid, set: 0x80 << 56),
        Offence("a response", .invalidRequest, .refusedInvalid, set: 1 << 56),
        Offence("signed", .invalidRequest, .refusedInvalid, set: 2 << 56),
        Offence("a status", .invalidRequest, .refusedInvalid, word: 1, set: 1),
        Offence("an unknown status", .invalidRequest, .refusedInvalid, word: 1, set: 0xFFFF),
        Offence("reserved bytes", .invalidRequest, .refusedInvalid, word: 1, set: 1 << 16),
        Offence(
            "a second Connect", .invalidRequest, .refusedInvalid, operation: .connect,
            bodyBytes: 8),
        Offence("a body too long", .tooLarge, .refusedTooLarge, bodyBytes: .max),
        Offence("a payload too long", .tooLarge, .refusedTooLarge, payloadBytes: .max),
    ]

    @Test(arguments: offences) func aBadHeaderIsAnsweredAndEndsTheSession(offence: Offence) throws {
        try withServer { server in
            let client = TestClient(port: server.port)
            // What was asked before is still answered; what comes behind is not.
            client.send(TestClient.frame(.tcpGet, id: 5, body: TestClient.lengthBody(3)))
            client.send(offence.bytes)
            client.send(TestClient.frame(.tcpGet, id: 6, body: TestClient.lengthBody(4)))
            client.send([UInt8](repeating: 1, count: 200_000))
            client.stopSending()
            var statuses: [UInt64: Status] = [:]
            while let reply = client.receive() {
                #expect(reply.header.isResponse)
                #expect(
                    statuses.updateValue(reply.header.status, forKey: reply.header.requestID) == nil
                )
            }
            if let status = offence.status {
                #expect(statuses == [5: .ok, 77: status])
            } else {
                #expect(statuses[77] == nil && statuses[6] == nil)
            }
            #expect(server.counters.value(offence.counter) == 1)
            #expect(server.eventually { $0.isAtStart })
        }
    }

    @Test func theFirstFrameMustBeConnect() throws {
        try withServer { server in
            let client = TestClient(port: server.port, greets: false)
            client.send(TestClient.frame(.tcpGet, id: 9, body: TestClient.lengthBody(3)))
            let reply = try #require(client.receive())
            #expect(reply.header.status == .invalidRequest)
            #expect(reply.header.requestID == 9)
            #expect(client.isAtEnd())
            #expect(server.counters.value(.requests) == 0)
        }
    }

    @Test func aClientOfNewerVersionsOnlyIsToldSo() throws {
        try withServer { server in
            let client = TestClient(port: server.port, greets: false)
            client.send(TestClient.connectFrame(highest: 3, lowest: 2))
            #expect(client.receive()?.header.status == .unsupportedVersion)
            #expect(client.isAtEnd())
        }
    }

    /// Cut at every byte of a greeting and a put.
    @Test func aFrameCutAnywhereLeavesNothingBehind() throws {
        try withServer { server in
            let greeting = TestClient.connectFrame()
            let frames =
                greeting
                + TestClient.frame(
                    .tcpPut, id: 2, body: [UInt8](repeating: 7, count: 32),
                    payload: [UInt8](repeating: 9, count: 40))
            var truncated: UInt64 = 0
            for length in 0..<frames.count {
                let client = TestClient(port: server.port, greets: false)
                client.send(Array(frames.prefix(length)))
                client.stopSending()
                if length >= greeting.count { #expect(client.receive()?.header.status == .ok) }
                #expect(client.isAtEnd())
                if length > 0, length != greeting.count { truncated += 1 }
            }
            #expect(server.eventually { $0.isAtStart })
            #expect(server.counters.value(.truncatedFrames) == truncated)
            #expect(server.counters.value(.requests) == 0)
        }
    }

    @Test func aHundredConnectionsInAnyStateLeaveNothingBehind() throws {
        let seed: UInt64 = 42
        try withServer { server in
            var generator = SeededGenerator(seed: seed)
            for _ in 0..<100 {
                let client = TestClient(
                    port: server.port, greets: UInt64.random(in: 0..<8, using: &generator) > 0)
                let payload = [UInt8](repeating: 3, count: 150_000)
                var isAnswerDue = false
                for id in 0..<UInt64.random(in: 0..<6, using: &generator) {
                    let held = UInt32.random(in: 0..<2, using: &generator)
                    let frame = TestClient.frame(
                        .tcpPut, id: id, namespace: held,
                        body: [UInt8](repeating: 1, count: 32), payload: payload)
                    let isCut = UInt64.random(in: 0..<4, using: &generator) == 0
                    let length =
                        isCut ? Int.random(in: 0..<frame.count, using: &generator) : frame.count
                    client.send(Array(frame.prefix(length)))
                    if isCut { break }
                    isAnswerDue = isAnswerDue || held == 0
                }
                if isAnswerDue, Bool.random(using: &generator) { _ = client.receive(count: 10_000) }
            }
            // Requests that the engine still has keep their entries until it answers.
            let last = TestClient(port: server.port)
            #expect(server.eventually { $0.freeRequests == 512 - $0.heldRequests })
            #expect(server.counters.value(.acceptedConnections) == 101)
            let held = server.heldRequests
            for id in held..<(held > 0 ? EchoServer.heldCount : 0) {
                last.send(
                    TestClient.frame(
                        .tcpGet, id: UInt64(id), namespace: EchoServer.heldNamespace.rawValue,
                        body: TestClient.lengthBody(1)))
            }
            #expect(server.eventually { $0.freeRequests == 512 })
            #expect(server.eventually { $0.counters.value(.activeConnections) == 1 })
            #expect(server.eventually { $0.pool.freeSlabs == Int($0.pool.slabCount) })
        }
    }
}

#endif
