// What the client makes of servers that break: nobody waits for ever, nothing unknown is called
// failed or done.

import Testing
import Wire

@testable import Client

@Suite struct BrokenServerTests {
    private func connect(_ behaviour: Behaviour, seconds: Double = 20) throws(ConnectError) {
        let server = ReferenceServer(behaviour)
        defer { server.stop() }
        _ = try TCPConnection(
            to: ServerAddress(host: "127.0.0.1", port: server.port),
            deadline: after(seconds: seconds))
    }

    @Test func aPortWhereNobodyListensIsRefused() throws {
        let free = try #require(BlockingSocket.listening(port: 0))
        free.socket.close()
        #expect(throws: ConnectError.refused) {
            try TCPConnection(
                to: ServerAddress(host: "127.0.0.1", port: free.port), deadline: after(seconds: 5))
        }
    }

    @Test func aServerThatIsNoneIsNamed() {
        #expect {
            try connect(Behaviour(sendsGarbage: true))
        } throws: { error in
            guard case ConnectError.session(.malformedResponse(let what)) = error else {
                return false
            }
            return what.contains("notAFrame")
        }
    }

    @Test func aServerThatTellsAbsurdLimitsIsRefused() {
        #expect {
            try connect(Behaviour(valueLimitBytes: .max, payloadLimitBytes: .max))
        } throws: { error in
            guard case ConnectError.session(.malformedResponse(let what)) = error else {
                return false
            }
            return what.contains("4294967295 bytes for one value")
        }
    }

    @Test func aServerThatNeverAnswersConnectTimesOut() {
        #expect(throws: ConnectError.session(.connectTimedOut)) {
            try connect(Behaviour(readsNothing: true), seconds: 0.2)
        }
    }

    @Test func aRefusedConnectSaysWhy() {
        for status in [Status.unsupportedVersion, .busy, .shuttingDown] {
            #expect(throws: ConnectError.session(.connectRefused(status))) {
                try connect(Behaviour(refuses: (.connect, status)))
            }
        }
    }

    @Test func aConnectionClosedInsideAResponseAnswersEverything() throws {
        // Three requests are taken, then the last is answered first, by half.
        let behaviour = Behaviour(answersReversedInGroupsOf: 3, closesInsideResponseTo: .tcpDelete)
        try withServer(behaviour) { server, connection in
            let source = OwnedBytes(count: 5)
            var expected: [RequestTag: OutcomeStatus] = [:]
            let stat = ClientRequest.stat(key("a"))
            expected[try connection.submit(stat, deadline: .never)] = .connectionLost
            let put = ClientRequest.put(PutItem(key: key("b"), value: source.source))
            expected[try connection.submit(put, deadline: .never)] = .ended(.outcomeUnknown)
            expected[try connection.submit(.delete(key("c")), deadline: .never)] =
                .ended(.outcomeUnknown)
            var seen: [RequestTag: OutcomeStatus] = [:]
            while let outcome = connection.nextOutcome() { seen[outcome.tag] = outcome.status }
            #expect(seen == expected)
            #expect(connection.failure == .closedInsideResponse)
            #expect(throws: SubmitError.notConnected) {
                try connection.submit(stat, deadline: .never)
            }
        }
    }

    @Test func anAnswerToNothingBreaksTheSession() throws {
        try withServer(Behaviour(answersUnknownRequests: true)) { _, connection in
            #expect(throws: ClientError.connectionLost) {
                try connection.exists([key("a")], deadline: .never)
            }
            #expect(
                connection.failure
                    == .malformedResponse("an answer to request 1001, which nobody sent"))
        }
    }

    @Test func aServerThatTakesNoBytesIsLeftAtTheDeadline() throws {
        // The value fills both sockets' buffers and stops there.
        try withServer(Behaviour(readsNothingAfterConnect: true)) { _, connection in
            let value = OwnedBytes(count: 16 << 20)
            // Its last byte never left: the server can't have carried it out.
            #expect(throws: ClientError.connectionLost) {
                try connection.put(key("a"), value.source, deadline: after(seconds: 0.3))
            }
            #expect(connection.failure == .stalledInsideRequest)
        }
    }

    @Test func aPutWithoutAnAnswerIsUnknownAndTheSessionGoesOn() throws {
        try withServer(Behaviour(neverAnswers: .tcpPut)) { _, connection in
            #expect(throws: ClientError.ended(.outcomeUnknown)) {
                try connection.put(
                    key("a"), OwnedBytes(count: 5).source, deadline: after(seconds: 0.1))
            }
            #expect(connection.failure == nil)
        }
    }

    @Test func aLateAnswerIsThrownAwayAndTheSessionGoesOn() throws {
        try withServer(Behaviour(answersReversedInGroupsOf: 2)) { server, connection in
            server[key("a")] = pattern(50_000, seed: 3)
            let memory = OwnedBytes(count: 50_000)
            #expect(throws: ClientError.ended(.deadlineExceeded)) {
                try connection.get(
                    key("a"), into: memory.destination, deadline: after(seconds: 0.1))
            }
            // The next request makes the server answer both.
            #expect(try connection.stat(key("a"), deadline: .never).lengthBytes == 50_000)
            _ = try connection.submit(.stat(key("a")), deadline: .never)
            _ = try connection.submit(.stat(key("a")), deadline: .never)
            #expect(connection.nextOutcome()?.status == .ok)
            #expect(connection.nextOutcome()?.status == .ok)
            #expect(memory.copy(count: 50_000).allSatisfy { $0 == 0 })
        }
    }
}
