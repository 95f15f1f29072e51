// ClientDriver: the thread that an AsyncClient's core runs on, and the way calls reach it.
//
//   callers --inbox, wake-up--> thread: submit, step, wait --continuation--> callers
//
// Always holds: each call's continuation is resumed once. The core is touched by its thread alone;
// the inbox is the only thing shared.

internal import Synchronization
internal import Wire

final class ClientDriver: Sendable {
    struct Call: Sendable {
        typealias Continuation = CheckedContinuation<Result<RequestOutcome, SubmitError>, Never>

        let request: ClientRequest
        let checksums: [UInt64]
        let deadline: MonotonicTime
        let policy: RequestPolicy
        let continuation: Continuation
    }

    private struct Inbox {
        var calls: [Call] = []
        var isClosed = false
    }

    private let configuration: ClientConfiguration
    private let inbox = Mutex(Inbox())
    private let wakeUp = WakeUp()

    init(_ configuration: ClientConfiguration) { self.configuration = configuration }

    func start() {
        let started = DetachedThread.start { self.run() }
        precondition(started, "the system has no thread left for a client")
    }

    func add(_ call: Call) {
        let (isFirst, isClosed) = inbox.withLock { inbox in
            if inbox.isClosed { return (false, true) }
            inbox.calls.append(call)
            return (inbox.calls.count == 1, false)
        }
        if isClosed { return call.continuation.resume(returning: .failure(.clientClosed)) }
        // The others are found by the same look into the inbox.
        if isFirst { wakeUp.wake() }
    }

    func close() {
        inbox.withLock { $0.isClosed = true }
        wakeUp.wake()
    }

    // MARK: The thread

    private func run() {
        var core = ClientCore(
            configuration, transport: SocketTransport(configuration, wakeUp: wakeUp))
        var callers: [RequestTag: Call.Continuation] = [:]
        while true {
            let (calls, isClosed) = inbox.withLock { inbox in
                let calls = inbox.calls
                inbox.calls = []
                return (calls, inbox.isClosed)
            }
            for call in calls { submit(call, to: &core, &callers) }
            let now = Socket.now
            let moved = core.step(now: now)
            if isClosed { core.close() }
            while let outcome = core.nextOutcome() {
                guard let caller = callers.removeValue(forKey: outcome.tag) else {
                    preconditionFailure("an outcome that nobody waits for")
                }
                caller.resume(returning: .success(outcome))
            }
            if isClosed { return }
            core.transport.wait(until: moved ? now : core.nextWake)
        }
    }

    private func submit(
        _ call: Call, to core: inout ClientCore<SocketTransport>,
        _ callers: inout [RequestTag: Call.Continuation]
    ) {
        do throws(SubmitError) {
            let tag = try core.submit(
                call.request, checksums: call.checksums, deadline: call.deadline,
                policy: call.policy, now: Socket.now)
            callers[tag] = call.continuation
        } catch {
            call.continuation.resume(returning: .failure(error))
        }
    }
}
