// BlockingClient: the client's core on its caller's thread. Waits in poll() only, never longer than
// a deadline.
//
// Always holds: it works only inside its calls; used by one thread at a time. For N connections
// with M requests in flight each: `connectionsPerServer` N, and submit until N times M are
// unanswered.

package import Wire

package final class BlockingClient: BlockingPerformer {
    private var core: ClientCore<SocketTransport>

    package init(_ configuration: ClientConfiguration) {
        core = ClientCore(configuration, transport: SocketTransport(configuration))
    }

    deinit { core.close() }

    /// The monotonic clock that deadlines are measured by.
    package static var now: MonotonicTime { Socket.now }

    package var configuration: ClientConfiguration { core.configuration }
    package var placement: Placement { core.placement }

    /// Requests whose outcome hasn't been taken by `nextOutcome`.
    package var unansweredCount: Int { core.unansweredCount }

    /// Why a server couldn't be used last; nil when it answered last, or nobody asked.
    package func problem(of server: ServerNumber) -> ConnectError? { core.problem(of: server) }

    /// Whether requests to `server` travel by RDMA at present.
    package func isRemote(_ server: ServerNumber) -> Bool { core.isRemote(server) }

    /// Takes `request` and begins to send it. Its memory is used until `nextOutcome` returns its
    /// tag.
    package func submit(
        _ request: ClientRequest, deadline: MonotonicTime, policy: RequestPolicy = RequestPolicy()
    ) throws(SubmitError) -> RequestTag {
        let checksums = request.values.map(\.xxh3)
        // What has happened since the last call comes first, the end of a connection above all.
        core.transport.wait(until: Self.now)
        _ = core.step(now: Self.now)
        let tag = try core.submit(
            request, checksums: checksums, deadline: deadline, policy: policy, now: Self.now)
        _ = core.step(now: Self.now)
        return tag
    }

    /// The next finished request, in whatever order they finish; waits for it until `limit`. Nil
    /// when none is outstanding, or none finished in time.
    package func nextOutcome(until limit: MonotonicTime = .never) -> RequestOutcome? {
        while core.unansweredCount > 0 {
            if let outcome = core.nextOutcome() { return outcome }
            let now = Self.now
            let moved = core.step(now: now)
            if !moved, now >= limit { return core.nextOutcome() }
            core.transport.wait(until: moved ? now : min(limit, core.nextWake))
        }
        return nil
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

    /// What `server` says of its limits, connecting to it if nobody has yet; one attempt.
    package func limits(
        of server: ServerNumber, deadline: MonotonicTime
    ) throws(ConnectError) -> ConnectResponse {
        core.greet(server)
        while true {
            if let limits = core.limits(of: server) { return limits }
            let now = Self.now
            let moved = core.step(now: now)
            if core.limits(of: server) != nil { continue }
            if let problem = core.problem(of: server) { throw problem }
            guard now < deadline else { throw .timedOut }
            core.transport.wait(until: moved ? now : min(deadline, core.nextWake))
        }
    }
}
