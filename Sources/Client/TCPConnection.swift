// TCPConnection: a ClientSession over one TCP socket. Blocks in poll() only, never longer than a
// deadline.
//
// Always holds: it sends and receives in the same loop, so that two full socket buffers can't lock
// up; values leave from the caller's memory and arrive in it, with no copy between; an outcome is
// given once, and after it nothing here touches the request's memory. Used by one thread.

package import Wire

/// A connection to one server.
package final class TCPConnection: BlockingPerformer {
    package let server: ServerAddress
    private let socket: Socket
    private var bytes: SessionBytes
    private var ready: [RequestOutcome] = []

    /// Connects and agrees on version and limits, all before `deadline`; with `key`, only with a
    /// server that has it too; with `asksForQueuePair`, only with one that offers a queue pair.
    package init(
        to server: ServerAddress, key: AuthenticationKey? = nil, asksForQueuePair: Bool = false,
        deadline: MonotonicTime
    ) throws(ConnectError) {
        self.server = server
        var generator = SystemRandomNumberGenerator()
        let nonce = Nonce(using: &generator)
        bytes = SessionBytes(
            ClientSession(
                credentials: key.map { Credentials(key: $0, nonce: nonce) },
                asksForQueuePair: asksForQueuePair))
        socket = try Socket.connect(to: server, until: deadline)
        bytes.session.start()
        while !bytes.session.isReady {
            let moved = moveBytes(now: Socket.now)
            if let failure = bytes.session.failure { throw .session(failure) }
            if moved || bytes.session.isReady { continue }
            guard Socket.now < deadline else { throw .session(.connectTimedOut) }
            _ = socket.wait(
                forSending: bytes.waitsToSend, forReceiving: true, until: deadline)
        }
    }

    /// The monotonic clock that deadlines are measured by.
    package static var now: MonotonicTime { Socket.now }

    /// What the server told in Connect's response.
    package var limits: ConnectResponse {
        guard let limits = bytes.session.serverLimits else {
            preconditionFailure("a connection without Connect's response")
        }
        return limits
    }

    /// The queue pair that the server offers, and its keys; nil when none was asked for.
    package var queuePair: (offer: QueuePairOffer, keys: QueuePairKeys)? {
        guard let offer = bytes.session.offer else { return nil }
        let secret = bytes.session.queuePairSecret
        return (
            offer,
            QueuePairKeys(secret: secret, sessionID: offer.sessionID, nonce: offer.nonce)
        )
    }

    /// Whether its queue pair's frames are signed.
    var signsFrames: Bool { bytes.session.queuePairSecret != nil }

    /// Why the connection can't be used any more; nil while it can.
    package var failure: SessionFailure? { bytes.session.failure }

    /// Whether `submit` would find a place in the window.
    package var hasRoom: Bool { bytes.session.hasRoom }

    /// Requests whose outcome hasn't been taken by `nextOutcome`.
    package var unansweredCount: Int { bytes.session.unansweredCount + ready.count }

    /// Takes `request` and begins to send it. Its memory is used until `nextOutcome` returns its
    /// tag.
    package func submit(
        _ request: ClientRequest, deadline: MonotonicTime
    ) throws(SubmitError) -> RequestTag {
        let tag = try bytes.session.submit(
            request, checksums: request.values.map(\.xxh3), deadline: deadline)
        _ = moveBytes(now: Socket.now)
        return tag
    }

    /// The next finished request, in whatever order they finish; waits for it until `deadline`. Nil
    /// when none is outstanding, or none finished in time.
    package func nextOutcome(until deadline: MonotonicTime = .never) -> RequestOutcome? {
        while ready.isEmpty {
            guard bytes.session.unansweredCount > 0 else { return nil }
            let now = Socket.now
            ready += bytes.session.expire(now: now)
            if !ready.isEmpty || moveBytes(now: now) { continue }
            guard now < deadline else { return nil }
            _ = socket.wait(
                forSending: bytes.waitsToSend, forReceiving: true,
                until: min(deadline, bytes.session.earliestDeadline))
        }
        return ready.removeFirst()
    }

    /// Submits one request and waits for it. Nothing else may be outstanding.
    package func perform(
        _ request: ClientRequest, deadline: MonotonicTime
    ) throws(SubmitError) -> RequestOutcome {
        precondition(
            unansweredCount == 0, "a blocking call while pipelined requests are outstanding")
        let tag = try submit(request, deadline: deadline)
        guard let outcome = nextOutcome(), outcome.tag == tag else {
            preconditionFailure("a request without an outcome")
        }
        return outcome
    }

    /// Moves what can be moved now in both directions; true when anything moved.
    private func moveBytes(now: MonotonicTime) -> Bool {
        bytes.move(by: socket, now: now, outcomes: &ready)
    }
}
