// ClientSession: the protocol of one connection as a synchronous machine. It sees headers, body
// words and checksums; it never touches a socket, a clock or a value's bytes.
//
//   idle --start--> connecting --Connect's response--> ready --fail--> broken
//
// With a key a session goes from connecting to authenticating, and then to ready
// (ClientAuthentication.swift); one that wants a queue pair asks for it before it is ready. Over a
// queue pair a session begins as ready, values lie beside its frames, in memory that the server
// reads and writes by itself, and each frame is one message.
//
// Always holds: each submitted request is answered exactly once; `ok` is given only to a value
// whose XXH3-64 was verified here; no more requests are outstanding than the server allows; a
// request that left by a connection that then broke is never called "failed" when it may have
// changed the store. Refuses: requests above the limits that Connect told, with a `SubmitError`;
// any response that doesn't fit what was asked, by breaking the session.

package import Wire

/// A frame on its way out: header, body and tags as little-endian words, values by reference.
package struct OutgoingFrame: Sendable {
    package let tag: RequestTag
    /// The header's eight words, then the body's, then those of a signed frame's tags.
    package let words: [UInt64]
    package let payload: [PayloadSegment<SourceBytes>]
}

/// A stretch of a payload: a value's bytes, or padding that belongs to nobody.
package enum PayloadSegment<Bytes: Sendable>: Sendable {
    case value(Bytes)
    case padding(count: Int)
}

/// The client's end of one connection.
package struct ClientSession: Sendable {
    enum Phase: Hashable {
        case idle
        case connecting
        /// The server has shown its proof, and is shown the client's.
        case authenticating
        /// The session stands, and a queue pair is asked for.
        case asking
        case ready
        case broken(SessionFailure)
    }

    /// Where a request stands.
    enum Stage: Hashable {
        case queued
        /// Handed out as a frame: the server may have it.
        case sent
        /// Answered by its deadline; the response is read and thrown away if it still comes.
        case abandoned
    }

    struct Pending {
        var request: ClientRequest
        var checksums: [UInt64]
        /// Over a queue pair, how the server reaches the memory of each value.
        var segments: [RemoteSegment]
        var deadline: MonotonicTime
        var stage: Stage
    }

    /// Where the incoming side stands.
    enum Incoming {
        case header
        case body(FrameHeader)
        case payload(FrameHeader, body: [UInt64], tag: FrameTag?)
    }

    /// The request id of Connect, and of Authenticate after it.
    static let connectID: UInt64 = 0

    var phase = Phase.idle
    var pending: [UInt64: Pending] = [:]
    var incoming = Incoming.header
    /// What the server told; nil until Connect's response.
    package internal(set) var serverLimits: ConnectResponse?
    private var queue: [UInt64] = []
    /// Connect, or Authenticate, is the next frame.
    var handshakeQueued = false
    /// Nil in a session without a key.
    var authentication: ClientAuthentication?
    /// Whether it asks for a queue pair, and the server's offer.
    let asksForQueuePair: Bool
    package internal(set) var offer: QueuePairOffer?
    /// Whether values lie in memory that the server reaches, rather than in frames.
    let isRemote: Bool
    private var leaving: UInt64?
    private var nextID = Self.connectID + 1

    /// A session without a key, or with one; with `asksForQueuePair` it is ready only when the
    /// server has offered one.
    package init(credentials: Credentials? = nil, asksForQueuePair: Bool = false) {
        authentication = credentials.map { ClientAuthentication($0) }
        self.asksForQueuePair = asksForQueuePair
        isRemote = false
    }

    /// The session over the queue pair that was offered to `session`.
    package init(over offer: QueuePairOffer, of session: borrowing ClientSession) {
        guard var limits = session.serverLimits, session.isReady else {
            preconditionFailure("a queue pair of a session that isn't ready")
        }
        // Items that fill a message with 32 bytes each of their body, at 64 of both.
        let fixed = UInt32(FrameHeader.byteCount + FrameTag.byteCount) + RemoteBodyShape.countBytes
        let most = BodyLayout.batchPutItemBytes + RemoteSegment.byteCount
        let items = (offer.messageLimitBytes - fixed) / most
        limits.bodyLimitBytes = min(limits.bodyLimitBytes, items * BodyLayout.keyBytes)
        limits.requestsInFlight = UInt32(offer.credits)
        serverLimits = limits
        authentication = session.queuePairSecret.map {
            ClientAuthentication(
                QueuePairKeys(secret: $0, sessionID: offer.sessionID, nonce: offer.nonce))
        }
        asksForQueuePair = false
        isRemote = true
        phase = .ready
    }

    /// What the keys of its queue pairs follow from; nil without a key.
    package var queuePairSecret: Secret? { authentication?.queuePairs }

    package var isReady: Bool { phase == .ready }

    package var failure: SessionFailure? {
        if case .broken(let failure) = phase { failure } else { nil }
    }

    /// Requests that hold a place in the window: unanswered, or abandoned with their response still
    /// due.
    package var outstandingCount: Int { pending.count }

    /// Requests whose outcome hasn't been given yet.
    package var unansweredCount: Int { pending.values.count { $0.stage != .abandoned } }

    /// Whether `submit` would find a place in the window.
    package var hasRoom: Bool {
        guard phase == .ready, let serverLimits else { return false }
        return pending.count < Int(serverLimits.requestsInFlight)
    }

    /// Requests that were answered by their deadline and whose response is still due.
    package var abandonedCount: Int { pending.values.count { $0.stage == .abandoned } }

    /// Whether the server may still write to the memory of a request that was answered by its
    /// deadline.
    var mayBeWrittenLate: Bool {
        isRemote && pending.values.contains { $0.stage == .abandoned && $0.request.fillsMemory }
    }

    /// When `expire` must be called though nothing arrives.
    package var earliestDeadline: MonotonicTime {
        pending.values.lazy.filter { $0.stage != .abandoned }.map(\.deadline).min() ?? .never
    }

    /// True while the response being read belongs to a request that was answered already: its bytes
    /// must not reach the request's memory any more.
    package var incomingIsAbandoned: Bool {
        switch incoming {
        case .header: false
        case .body(let header), .payload(let header, _, _):
            pending[header.requestID]?.stage == .abandoned
        }
    }

    // MARK: Outgoing

    /// Makes Connect the first frame. Once.
    package mutating func start() {
        precondition(phase == .idle, "a session starts once")
        phase = .connecting
        handshakeQueued = true
    }

    /// Takes `request`; its frame leaves by `nextFrame`. `checksums` are the XXH3-64 of its values,
    /// `segments` their memory over a queue pair, one for each.
    package mutating func submit(
        _ request: ClientRequest, checksums: [UInt64], segments: [RemoteSegment] = [],
        deadline: MonotonicTime
    ) throws(SubmitError) -> RequestTag {
        guard phase == .ready, let serverLimits else { throw .notConnected }
        guard hasRoom else { throw .windowFull }
        try RequestRules.check(request, against: serverLimits)
        precondition(checksums.count == request.values.count, "a checksum for each value")
        precondition(
            segments.count == (isRemote ? request.valueMemory.count : 0), "memory for each value")
        let id = nextID
        nextID += 1
        pending[id] = Pending(
            request: request, checksums: checksums, segments: segments, deadline: deadline,
            stage: .queued)
        queue.append(id)
        return RequestTag(id)
    }

    /// The next frame to send, whole, or nil. `frameSent` must be called when its last byte has
    /// left.
    package mutating func nextFrame(now: MonotonicTime) -> OutgoingFrame? {
        precondition(leaving == nil, "one frame leaves at a time")
        if handshakeQueued {
            handshakeQueued = false
            leaving = Self.connectID
            return handshakeFrame()
        }
        guard phase == .ready, let id = queue.first, var request = pending[id] else { return nil }
        queue.removeFirst()
        request.stage = .sent
        pending[id] = request
        leaving = id
        let frame = RequestEncoding.frame(
            for: request.request, id: id, checksums: request.checksums, segments: request.segments,
            deadlineMicroseconds: Self.deadlineToTell(
                remaining: request.deadline.microseconds(since: now), of: request.deadline))
        return authentication?.sign(frame) ?? frame
    }

    private mutating func handshakeFrame() -> OutgoingFrame {
        if phase == .asking {
            let frame = RequestEncoding.rdmaOpen(id: Self.connectID)
            return authentication?.sign(frame) ?? frame
        }
        if phase == .authenticating, let authentication {
            return authentication.authenticate(id: Self.connectID)
        }
        return authentication?.connect(id: Self.connectID, versions: RequestEncoding.versions)
            ?? RequestEncoding.connect(id: Self.connectID)
    }

    /// The last byte of the frame that `nextFrame` gave has left.
    package mutating func frameSent() {
        precondition(leaving != nil, "a frame was sent that nobody asked for")
        leaving = nil
    }

    /// The server is told fifteen sixteenths of the time left, so that its own answer, which knows
    /// whether anything was begun, arrives before the client has to guess.
    private static func deadlineToTell(remaining: UInt64, of deadline: MonotonicTime) -> UInt32 {
        guard deadline != .never else { return 0 }
        return UInt32(clamping: max(1, remaining - remaining / 16))
    }

    // MARK: Ends

    /// Answers every request whose deadline has passed. What hadn't left is taken back; what had
    /// left keeps its place until its response comes. A frame that is stuck half-way breaks the
    /// session.
    package mutating func expire(now: MonotonicTime) -> [RequestOutcome] {
        guard earliestDeadline <= now else { return [] }
        let late = pending.filter { $0.value.stage != .abandoned && $0.value.deadline <= now }
        if let leaving, late[leaving] != nil {
            return fail(.stalledInsideRequest)
        }
        return late.sorted { $0.key < $1.key }.map { id, request in
            let status: Status
            if request.stage == .queued {
                status = .deadlineExceeded
                pending[id] = nil
                queue.removeAll { $0 == id }
            } else {
                status = request.request.changesStore ? .outcomeUnknown : .deadlineExceeded
                pending[id]?.stage = .abandoned
            }
            return Self.outcome(of: id, request.request, .ended(status))
        }
    }

    /// Breaks the session and answers everything outstanding: `outcomeUnknown` for what may have
    /// changed the store, `connectionLost` for the rest. A frame that hadn't left whole changed
    /// nothing: a server drops what ends inside a frame. Later calls change nothing.
    package mutating func fail(_ failure: SessionFailure) -> [RequestOutcome] {
        if case .broken = phase { return [] }
        phase = .broken(failure)
        let unanswered = pending.filter { $0.value.stage != .abandoned }
        pending = [:]
        queue = []
        handshakeQueued = false
        incoming = .header
        return unanswered.sorted { $0.key < $1.key }.map { id, request in
            let unknown =
                request.stage == .sent && id != leaving && request.request.changesStore
            return Self.outcome(
                of: id, request.request, unknown ? .ended(.outcomeUnknown) : .connectionLost)
        }
    }

    /// An outcome that says `status` of the request and of each of its items.
    static func outcome(
        of id: UInt64, _ request: ClientRequest, _ status: OutcomeStatus
    ) -> RequestOutcome {
        var outcome = RequestOutcome(tag: RequestTag(id), status: status)
        outcome.items = Array(
            repeating: ItemOutcome(status: status), count: request.batchCount ?? 0)
        return outcome
    }
}
