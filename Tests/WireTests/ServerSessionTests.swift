// The server's session machine by itself: each event in the states that may have it.

import Testing
import Wire

@Suite struct ServerSessionTests {
    static let limits = FrameLimits(maximumBodyBytes: 64, maximumPayloadBytes: 100)
    static let welcomeWord: UInt64 = 1 | 1 << 16
    let get = FrameHeader(operation: .tcpGet, requestID: 8, bodyBytes: 32)

    private func fresh(limit: Int = 2) -> ServerSession {
        ServerSession(limits: Self.limits, outstandingLimit: limit)
    }

    /// A session whose Connect has been answered.
    private func greeted(limit: Int = 2) -> ServerSession {
        var session = fresh(limit: limit)
        let connect = FrameHeader(operation: .connect, requestID: 1, bodyBytes: 8)
        #expect(session.headerArrived(connect.words) == .findRoom(connect))
        #expect(session.roomFound() == .receive)
        #expect(session.frameComplete() == .readGreeting)
        #expect(session.greeted(Self.welcomeWord, key: .notNeeded) == .welcome(version: 1))
        #expect(session.responseLeft() == .nothing)
        return session
    }

    private func refusal(_ status: Status, id: UInt64) -> FrameHeader {
        FrameHeader(operation: .tcpGet, isResponse: true, status: status, requestID: id)
    }

    @Test func aRequestGoesFromHeaderToDelivery() {
        var session = greeted()
        #expect(session.headerArrived(get.words) == .findRoom(get))
        #expect(session.state == .waiting)
        #expect(session.roomFound() == .receive)
        #expect(session.state == .receiving)
        #expect(session.frameComplete() == .deliver)
        #expect(session.state == .header)
        #expect(session.outstanding == 1)
        #expect(session.responseLeft() == .nothing)
        #expect(session.outstanding == 0)
    }

    @Test func theLimitStopsReadingUntilAResponseHasLeft() {
        var session = greeted(limit: 1)
        _ = session.headerArrived(get.words)
        _ = session.roomFound()
        _ = session.frameComplete()
        #expect(!session.mayTakeHeader)
        _ = session.responseLeft()
        #expect(session.mayTakeHeader)
    }

    @Test func aRefusalWaitsForWhatIsOwed() {
        var session = greeted()
        _ = session.headerArrived(get.words)
        _ = session.roomFound()
        _ = session.frameComplete()
        var late = get
        late.payloadBytes = 101
        late.requestID = 9
        #expect(session.headerArrived(late.words) == .refuse(refusal(.tooLarge, id: 9), .tooLarge))
        #expect(session.state == .finishing)
        #expect(session.refusalSent() == .nothing)
        #expect(session.responseLeft() == .halfClose)
        #expect(session.state == .lingering)
        #expect(session.peerClosed(bytesHeld: 7) == .close(truncated: false))
    }

    @Test func aGreetingOfNoCommonVersionIsRefused() {
        for (word, status): (UInt64, Status) in [
            (3 | 2 << 16, .unsupportedVersion), (1 | 2 << 16, .invalidRequest),
            (0, .invalidRequest), (Self.welcomeWord | 1 << 32, .invalidRequest),
        ] {
            var session = fresh()
            let connect = FrameHeader(operation: .connect, requestID: 1, bodyBytes: 8)
            _ = session.headerArrived(connect.words)
            _ = session.roomFound()
            _ = session.frameComplete()
            guard case .refuse(let header, let refusal) = session.greeted(word, key: .notNeeded)
            else {
                Issue.record("greeting \(word) was not refused")
                continue
            }
            #expect(header.status == status)
            #expect(refusal.status == status)
            #expect(!session.isGreeted)
        }
    }

    /// A session that owes its proof.
    private func challenged() -> ServerSession {
        var session = fresh()
        let connect = FrameHeader(operation: .connect, requestID: 1, bodyBytes: 48)
        #expect(session.headerArrived(connect.words) == .findRoom(connect))
        _ = session.roomFound()
        #expect(session.frameComplete() == .readGreeting)
        #expect(session.greeted(Self.welcomeWord, key: .known) == .challenge(version: 1))
        _ = session.responseLeft()
        return session
    }

    private let proof = FrameHeader(operation: .authenticate, requestID: 2, bodyBytes: 32)

    @Test func aSessionWithAKeyIsOpenAfterTheProof() {
        var session = challenged()
        #expect(!session.isGreeted)
        #expect(session.headerArrived(proof.words) == .findRoom(proof))
        _ = session.roomFound()
        #expect(session.frameComplete() == .readProof)
        #expect(!session.isSigned)
        #expect(session.proved(isRight: true) == .admit)
        #expect(session.isGreeted)
        #expect(session.isSigned)
        _ = session.responseLeft()
        var signed = get
        signed.isSigned = true
        #expect(session.headerArrived(signed.words) == .findRoom(signed))
    }

    @Test func nothingButTheProofFollowsAChallenge() {
        for (header, expected): (FrameHeader, ServerSession.Refusal) in [
            (get, .unauthenticated(.noProof)),
            (FrameHeader(operation: .connect, requestID: 8, bodyBytes: 48), .invalid),
            (FrameHeader(operation: .authenticate, requestID: 8, bodyBytes: 40), .invalid),
            (
                FrameHeader(operation: .authenticate, requestID: 8, bodyBytes: 32, isSigned: true),
                .invalid
            ),
        ] {
            var session = challenged()
            guard case .refuse(_, let refusal) = session.headerArrived(header.words) else {
                Issue.record("\(header) was not refused")
                continue
            }
            #expect(refusal == expected)
            #expect(session.state == .finishing)
        }
    }

    @Test func aWrongProofAndAForgedFrameEndTheSession() {
        var session = challenged()
        _ = session.headerArrived(proof.words)
        _ = session.roomFound()
        _ = session.frameComplete()
        guard
            case .refuse(let header, .unauthenticated(.wrongProof)) = session.proved(isRight: false)
        else {
            Issue.record("a wrong proof was not refused")
            return
        }
        #expect(header.status == .unauthenticated)
        #expect(!session.isSigned)
        session = greeted()
        guard case .refuse(_, .unauthenticated(.forgedFrame)) = session.headerForged(get.words)
        else {
            Issue.record("a forged header was not refused")
            return
        }
        session = greeted()
        _ = session.headerArrived(get.words)
        _ = session.roomFound()
        guard case .refuse(let last, .unauthenticated(.forgedFrame)) = session.frameForged() else {
            Issue.record("a forged body was not refused")
            return
        }
        #expect(last.requestID == get.requestID)
    }

    @Test func aGreetingWithoutARightKeyIsRefused() {
        for (key, problem): (ServerSession.GreetingKey, AuthenticationProblem) in [
            (.missing, .noKey), (.unknown, .unknownKey),
        ] {
            var session = fresh()
            let connect = FrameHeader(operation: .connect, requestID: 1, bodyBytes: 8)
            _ = session.headerArrived(connect.words)
            _ = session.roomFound()
            _ = session.frameComplete()
            guard
                case .refuse(_, let refusal) = session.greeted(Self.welcomeWord, key: key)
            else {
                Issue.record("\(key) was not refused")
                continue
            }
            #expect(refusal == .unauthenticated(problem))
        }
    }

    @Test func aConnectOfTheWrongShapeIsRefused() {
        for (body, payload): (UInt32, UInt32) in [(0, 0), (16, 0), (8, 1)] {
            var session = fresh()
            let connect = FrameHeader(
                operation: .connect, requestID: 1, bodyBytes: body, payloadBytes: payload)
            guard case .refuse(_, .invalid) = session.headerArrived(connect.words) else {
                Issue.record("a Connect with \(body) + \(payload) bytes was not refused")
                continue
            }
        }
    }

    @Test func foreignBytesAreClosedWithoutAnAnswer() {
        var session = fresh()
        #expect(session.headerArrived(InlineArray(repeating: 0)) == .closeForeign)
        #expect(session.state == .closed)
    }

    @Test func anEndInsideAFrameIsTruncated() {
        var session = greeted()
        #expect(session.peerClosed(bytesHeld: 1) == .close(truncated: true))
        session = greeted()
        _ = session.headerArrived(get.words)
        #expect(session.peerClosed(bytesHeld: 0) == .close(truncated: true))
        session = greeted()
        #expect(session.peerClosed(bytesHeld: 0) == .close(truncated: false))
    }

    @Test func anEndBetweenFramesIsAnsweredToTheLast() {
        var session = greeted()
        _ = session.headerArrived(get.words)
        _ = session.roomFound()
        _ = session.frameComplete()
        #expect(session.peerClosed(bytesHeld: 0) == .nothing)
        #expect(session.state == .finishing)
        #expect(session.responseLeft() == .halfClose)
        #expect(session.peerClosed(bytesHeld: 0) == .close(truncated: false))
    }

    @Test func aBrokenConnectionIsClosedOnce() {
        var session = greeted()
        #expect(session.broken() == .close(truncated: false))
        #expect(session.broken() == .nothing)
        #expect(session.state == .closed)
    }

    @Test func impossibleEventsTrap() async {
        await #expect(processExitsWith: .failure) {
            var session = ServerSession(limits: ServerSessionTests.limits, outstandingLimit: 1)
            _ = session.roomFound()
        }
        await #expect(processExitsWith: .failure) {
            var session = ServerSession(limits: ServerSessionTests.limits, outstandingLimit: 1)
            _ = session.responseLeft()
        }
        await #expect(processExitsWith: .failure) {
            var session = ServerSession(limits: ServerSessionTests.limits, outstandingLimit: 1)
            _ = session.broken()
            _ = session.peerClosed(bytesHeld: 0)
        }
    }
}
