// ClientSession alone, without a socket: what it sends, what it believes, what it makes of
// nonsense.

import Testing
import Wire

@testable import Client

@Suite struct ClientSessionTests {
    private let start = MonotonicTime(nanoseconds: 1_000_000_000)

    private func told(_ change: (inout ConnectResponse) -> Void = { _ in }) -> ConnectResponse {
        var response = ConnectResponse(
            version: 1, batchLimit: 8, bodyLimitBytes: BodyLayout.bodyLimitBytes,
            payloadLimitBytes: 1 << 20, valueLimitBytes: 1 << 16, requestsInFlight: 4,
            storeID: [1, 2])
        change(&response)
        return response
    }

    private func answerConnect(
        _ session: inout ClientSession, _ response: ConnectResponse
    ) throws {
        session.start()
        #expect(session.nextFrame(now: start)?.words.count == 9)
        session.frameSent()
        let header = FrameHeader(
            operation: .connect, isResponse: true, requestID: 0, bodyBytes: 40)
        #expect(try session.receiveHeader(words: header.words) == 5)
        _ = try session.receiveBody(words: (0..<5).map { response.words[$0] })
        #expect(try session.receivePayload(checksums: []) == nil)
    }

    private func ready() throws -> ClientSession {
        var session = ClientSession()
        try answerConnect(&session, told())
        #expect(session.isReady)
        return session
    }

    /// Submits and sends one request.
    private func send(
        _ request: ClientRequest, _ session: inout ClientSession,
        deadline: MonotonicTime = .never
    ) throws -> UInt64 {
        let tag = try session.submit(
            request, checksums: request.values.map(\.xxh3), deadline: deadline)
        #expect(session.nextFrame(now: start)?.tag == tag)
        session.frameSent()
        return tag.rawValue
    }

    private func isMalformed(_ body: () throws -> Void) -> Bool {
        do {
            try body()
            return false
        } catch SessionFailure.malformedResponse {
            return true
        } catch {
            return false
        }
    }

    @Test func limitsThatAllowNothingBreakTheSession() {
        let impossible: [(inout ConnectResponse) -> Void] = [
            { $0.requestsInFlight = 0 }, { $0.batchLimit = 0 }, { $0.valueLimitBytes = 0 },
            { $0.payloadLimitBytes = 100 }, { $0.version = 2 }, { $0.version = 0 },
        ]
        for change in impossible {
            var session = ClientSession()
            #expect(isMalformed { try answerConnect(&session, told(change)) })
        }
    }

    @Test func theDeadlineToldLeavesTimeForTheAnswer() throws {
        var session = try ready()
        let late = start.advanced(byMicroseconds: 1_600_000)
        _ = try session.submit(.stat(key("a")), checksums: [], deadline: late)
        let next = session.nextFrame(now: start)
        let frame = try #require(next)
        #expect(frame.words[5] == 1_500_000)
        session.frameSent()
        _ = try session.submit(.stat(key("a")), checksums: [], deadline: .never)
        #expect(session.nextFrame(now: start)?.words[5] == 0)
    }

    @Test func whatNeverLeftIsTakenBackUnchanged() throws {
        var session = try ready()
        let put = ClientRequest.put(PutItem(key: key("a"), value: OwnedBytes(count: 4).source))
        _ = try session.submit(put, checksums: [0], deadline: start)
        #expect(session.expire(now: start).map(\.status) == [.ended(.deadlineExceeded)])
        #expect(session.nextFrame(now: start) == nil)
        #expect(session.outstandingCount == 0)
        _ = try session.submit(put, checksums: [0], deadline: .never)
        #expect(session.fail(.closedByServer).map(\.status) == [.connectionLost])
    }

    @Test func batchItemsAreAnsweredHoweverTheBatchEnds() throws {
        var session = try ready()
        let id = try send(.deleteBatch([key("a"), key("b")]), &session)
        let refusal = FrameHeader(
            operation: .tcpBatchDelete, isResponse: true, status: .shuttingDown, requestID: id)
        #expect(try session.receiveHeader(words: refusal.words) == 0)
        _ = try session.receiveBody(words: [])
        let outcome = try #require(try session.receivePayload(checksums: []))
        #expect(outcome.items.map(\.status) == [.ended(.shuttingDown), .ended(.shuttingDown)])
        _ = try send(.deleteBatch([key("a"), key("b")]), &session)
        let lost = session.fail(.closedByServer)
        #expect(lost[0].items.map(\.status) == [.ended(.outcomeUnknown), .ended(.outcomeUnknown)])
        #expect(session.fail(.closedByServer).isEmpty)
    }

    @Test func headersThatFitNoRequestBreakTheSession() throws {
        let memory = OwnedBytes(count: 100)
        let good = FrameHeader(
            operation: .tcpGet, isResponse: true, requestID: 1, payloadBytes: 10)
        let changes: [(inout FrameHeader) -> Void] = [
            { $0.requestID = 2 }, { $0.requestID = 0 }, { $0.operation = .tcpPut },
            { $0.isResponse = false }, { $0.isSigned = true }, { $0.payloadBytes = 0 },
            { $0.bodyBytes = 8 }, { $0.bodyBytes = 7 }, { $0.status = .notFound },
            { $0.payloadBytes = 2 << 20 }, { $0.bodyBytes = 1 << 20 },
        ]
        for (index, change) in changes.enumerated() {
            var session = try ready()
            let get = GetItem(key: key("a"), destination: memory.destination)
            #expect(try send(.get(get), &session) == 1)
            var header = good
            change(&header)
            #expect(
                isMalformed { _ = try session.receiveHeader(words: header.words) },
                "change \(index)")
        }
    }

    @Test func batchBodiesThatLieBreakTheSession() throws {
        let memory = OwnedBytes(count: 100)
        let items = [key("a"), key("b")].map { GetItem(key: $0, destination: memory.destination) }
        let ok: UInt64 = 10 << 32
        let lies: [([UInt64], UInt32)] = [
            ([ok, 0, ok, 0], 20), ([ok, 0, ok, 0], 4107), ([ok, 0, 1, 0], 11),
            ([ok | 200, 0, ok, 0], 4106), ([ok | 1 << 8, 0, ok, 0], 4106), ([0, 0, 1, 0], 0),
        ]
        for (index, lie) in lies.enumerated() {
            var session = try ready()
            let id = try send(.getBatch(items), &session)
            let header = FrameHeader(
                operation: .tcpBatchGet, isResponse: true, requestID: id, bodyBytes: 32,
                payloadBytes: lie.1)
            #expect(try session.receiveHeader(words: header.words) == 4)
            #expect(isMalformed { _ = try session.receiveBody(words: lie.0) }, "lie \(index)")
        }
        var session = try ready()
        let id = try send(.exists([key("a")]), &session)
        let header = FrameHeader(
            operation: .exists, isResponse: true, requestID: id, bodyBytes: 8)
        _ = try session.receiveHeader(words: header.words)
        #expect(isMalformed { _ = try session.receiveBody(words: [1 << 8]) })
    }

    /// Words drawn at random, seed 0xC11E, half of them one bit away from a good header: each is
    /// believed as a whole or breaks the session; none traps, and whatever is believed ends the
    /// request.
    @Test func randomHeadersNeverTrap() throws {
        var state: UInt64 = 0xC11E
        func next() -> UInt64 {
            state = state &+ 1
            return BlockKey.finalize(state)
        }
        var believed = 0
        for _ in 0..<20_000 {
            var session = try ready()
            let id = try send(.stat(key("a")), &session)
            var words = FrameHeader(
                operation: .stat, isResponse: true, requestID: id, bodyBytes: 24
            ).words
            if next() & 1 == 0 {
                words[Int(next() % 8)] ^= 1 << (next() & 63)
            } else {
                words[Int(next() % 8)] = next()
            }
            guard let count = try? session.receiveHeader(words: words) else { continue }
            _ = try session.receiveBody(words: Array(repeating: 5, count: count))
            #expect(try session.receivePayload(checksums: [])?.tag.rawValue == id)
            believed += 1
        }
        #expect(believed > 0)
    }
}
