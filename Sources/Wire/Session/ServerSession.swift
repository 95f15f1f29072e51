// ServerSession: what one connection may do next, as the server sees it, whatever carries its
// bytes. Events in, actions out.
//
// Always holds: the first frame is Connect and no later one is; with a key the second is
// Authenticate, and every frame after it is signed; a frame is acted on only when its header has
// been believed field by field; a refused session is never read for frames again, since
// nobody knows where the next one begins; requests outstanding never exceed the limit. An event in
// a state that can't have it traps by name.
//
//   header ──header believed──▶ waiting ──room found──▶ receiving ──all here──▶ header
//   header, receiving ──refused──▶ finishing
//   header ──peer sends no more, responses owed──▶ finishing
//   finishing ──last response left──▶ lingering ──peer closed──▶ closed
//
// Lingering throws away what still comes, so that the kernel doesn't reset the connection over
// unread bytes and take the last response with it.

/// Why a peer isn't believed.
package enum AuthenticationProblem: Hashable, Sendable {
    case noKey, unknownKey, noProof, wrongProof
    /// A frame of a session with a key whose tag is wrong: forged, replayed, moved or cut.
    case forgedFrame
}

/// One session's state.
package struct ServerSession: Sendable {
    package enum State: Hashable, Sendable {
        /// Collecting the 64 bytes of a header.
        case header
        /// A header is believed; its request, or its slabs, are still to be had.
        case waiting
        /// Body and payload are coming in.
        case receiving
        /// Nothing is read; what is owed is still answered, a refusal among it.
        case finishing
        /// Everything owed has left and the peer knows; its bytes are thrown away.
        case lingering
        case closed
    }

    /// Why a frame is refused.
    package enum Refusal: Hashable, Sendable {
        case unsupportedVersion, invalid, tooLarge
        case unauthenticated(AuthenticationProblem)

        package var status: Status {
            switch self {
            case .unsupportedVersion: .unsupportedVersion
            case .invalid: .invalidRequest
            case .tooLarge: .tooLarge
            case .unauthenticated: .unauthenticated
            }
        }
    }

    /// What a greeting says about keys, as the transport judges it.
    package enum GreetingKey: Hashable, Sendable {
        /// None given, none asked for.
        case notNeeded
        /// None given though one is asked for.
        case missing
        /// Given, and not among the server's.
        case unknown
        case known
    }

    /// How far client and server know each other.
    private enum Acquaintance: Hashable, Sendable {
        case strangers
        /// The client owes its proof.
        case challenged
        case greeted
    }

    /// What the transport is to do.
    package enum Action: Hashable, Sendable {
        /// Find a request entry and slabs for this frame.
        case findRoom(FrameHeader)
        /// Receive the body and the payload.
        case receive
        /// Hand the request to the engine.
        case deliver
        /// The greeting is whole: read its body and say so to `greeted`.
        case readGreeting
        /// Answer the greeting.
        case welcome(version: UInt16)
        /// Answer the greeting with a challenge and the server's proof.
        case challenge(version: UInt16)
        /// The client's proof is whole: compare it and say so to `proved`.
        case readProof
        /// Answer the proof: it is right.
        case admit
        /// Send this header as the session's last response.
        case refuse(FrameHeader, Refusal)
        /// Tell the peer that nothing follows, and throw away what it sends.
        case halfClose
        /// Close. `truncated` when the peer stopped inside a frame.
        case close(truncated: Bool)
        /// Close: these bytes were never a frame.
        case closeForeign
        case nothing
    }

    package private(set) var state = State.header
    /// Requests between their header and the end of their response.
    package private(set) var outstanding = 0
    private var acquaintance = Acquaintance.strangers
    /// True from the client's right proof on: frames of both directions are signed.
    package private(set) var isSigned = false
    /// A refusal is on its way out.
    private var owesRefusal = false
    private var current: FrameHeader?
    private let limits: FrameLimits
    private let outstandingLimit: Int

    package init(limits: FrameLimits, outstandingLimit: Int) {
        self.limits = limits
        self.outstandingLimit = outstandingLimit
    }

    /// False while the limit of outstanding requests keeps the next header from being looked at.
    package var mayTakeHeader: Bool { state == .header && outstanding < outstandingLimit }

    /// True once requests may come.
    package var isGreeted: Bool { acquaintance == .greeted }

    /// 64 bytes of header are here.
    package mutating func headerArrived(_ words: InlineArray<8, UInt64>) -> Action {
        expect(.header, "a header")
        precondition(outstanding < outstandingLimit, "a header beyond the limit of requests")
        do throws(FrameError) {
            let header = try FrameHeader(words: words, limits: limits)
            if let refusal = refusal(of: header) { return refuse(words, refusal) }
            current = header
            state = .waiting
            outstanding += 1
            return .findRoom(header)
        } catch {
            switch error {
            case .notAFrame:
                state = .closed
                return .closeForeign
            case .unsupportedVersion: return refuse(words, .unsupportedVersion)
            case .bodyTooLarge, .payloadTooLarge: return refuse(words, .tooLarge)
            case .unknownOperation, .unknownFlags, .unknownStatus, .reservedNotZero:
                return refuse(words, .invalid)
            }
        }
    }

    /// What is wrong with a header at this point of the session; nil when nothing is.
    private func refusal(of header: FrameHeader) -> Refusal? {
        guard !header.isResponse, header.isSigned == isSigned, header.status == .ok else {
            return .invalid
        }
        switch header.operation {
        case .connect:
            let isShaped =
                header.payloadBytes == 0
                && (header.bodyBytes == BodyLayout.connectRequestBytes
                    || header.bodyBytes == BodyLayout.connectWithKeyRequestBytes)
            return acquaintance == .strangers && isShaped ? nil : .invalid
        case .authenticate:
            let isShaped =
                header.payloadBytes == 0 && header.bodyBytes == BodyLayout.authenticateRequestBytes
            return acquaintance == .challenged && isShaped ? nil : .invalid
        default:
            switch acquaintance {
            case .strangers: return .invalid
            case .challenged: return .unauthenticated(.noProof)
            case .greeted: return nil
            }
        }
    }

    /// 64 bytes of header are here, of a signed session, and their tag is wrong.
    package mutating func headerForged(_ words: InlineArray<8, UInt64>) -> Action {
        expect(.header, "a forged header")
        return refuse(words, .unauthenticated(.forgedFrame))
    }

    /// A frame is whole, and the tag of its body or of its payload is wrong.
    package mutating func frameForged() -> Action {
        expect(.receiving, "a forged frame")
        guard let current else { preconditionFailure("a frame without a header") }
        return refuse(current.words, .unauthenticated(.forgedFrame))
    }

    /// Entry and slabs for the frame are there.
    package mutating func roomFound() -> Action {
        expect(.waiting, "room")
        state = .receiving
        return .receive
    }

    /// The last byte of body and payload is here.
    package mutating func frameComplete() -> Action {
        expect(.receiving, "the end of a frame")
        if current?.operation == .connect { return .readGreeting }
        if current?.operation == .authenticate { return .readProof }
        state = .header
        return .deliver
    }

    /// The greeting's body: `[highest version u16, lowest version u16, zero u32]`.
    package mutating func greeted(_ word: UInt64, key: GreetingKey) -> Action {
        expect(.receiving, "a greeting")
        let highest = UInt16(truncatingIfNeeded: word)
        let lowest = UInt16(truncatingIfNeeded: word >> 16)
        guard let current else { preconditionFailure("a greeting without a header") }
        guard word >> 32 == 0, lowest <= highest, highest >= 1 else {
            return refuse(current.words, .invalid)
        }
        guard lowest <= FrameHeader.version else {
            return refuse(current.words, .unsupportedVersion)
        }
        let version = min(highest, FrameHeader.version)
        switch key {
        case .missing: return refuse(current.words, .unauthenticated(.noKey))
        case .unknown: return refuse(current.words, .unauthenticated(.unknownKey))
        case .notNeeded:
            state = .header
            acquaintance = .greeted
            return .welcome(version: version)
        case .known:
            state = .header
            acquaintance = .challenged
            return .challenge(version: version)
        }
    }

    /// The client's proof was compared with what it must be.
    package mutating func proved(isRight: Bool) -> Action {
        expect(.receiving, "a proof")
        guard let current else { preconditionFailure("a proof without a header") }
        guard isRight else { return refuse(current.words, .unauthenticated(.wrongProof)) }
        state = .header
        acquaintance = .greeted
        isSigned = true
        return .admit
    }

    /// One request's response has left, or will never be needed.
    package mutating func responseLeft() -> Action {
        precondition(outstanding > 0, "a response nobody asked for")
        outstanding -= 1
        return endFinishing()
    }

    /// The refusal's last byte has left.
    package mutating func refusalSent() -> Action {
        if state == .closed { return .nothing }
        expect(.finishing, "the end of a refusal")
        owesRefusal = false
        return endFinishing()
    }

    private mutating func endFinishing() -> Action {
        guard state == .finishing, !owesRefusal, outstanding == 0 else { return .nothing }
        state = .lingering
        return .halfClose
    }

    /// The peer sends nothing more; `bytesHeld` of an unfinished header have come. What is owed to
    /// it is still answered.
    package mutating func peerClosed(bytesHeld: Int) -> Action {
        if state == .header, bytesHeld == 0, outstanding > 0 {
            state = .finishing
            return .nothing
        }
        let truncated =
            switch state {
            case .header: bytesHeld > 0
            case .waiting, .receiving: true
            case .finishing, .lingering: false
            case .closed: preconditionFailure("a closed session was read")
            }
        state = .closed
        return .close(truncated: truncated)
    }

    /// The connection broke, or the server ends it.
    package mutating func broken() -> Action {
        if state == .closed { return .nothing }
        let truncated = state == .receiving
        state = .closed
        return .close(truncated: truncated)
    }

    private mutating func refuse(
        _ words: InlineArray<8, UInt64>, _ refusal: Refusal
    ) -> Action {
        // The places of operation and request id are the same in every version.
        let operation = OperationCode(rawValue: UInt8(truncatingIfNeeded: words[0] >> 48))
        state = .finishing
        owesRefusal = true
        let header = FrameHeader(
            operation: operation ?? .connect, isResponse: true, status: refusal.status,
            requestID: words[2])
        return .refuse(header, refusal)
    }

    private func expect(_ expected: State, _ event: String) {
        precondition(state == expected, "\(event) came to a session in state \(state)")
    }
}
