// Threads: long-lived threads of the daemon's own, and the signals that ask it for something.
//
// Always holds: a shard's thread never comes from a pool (io_uring cancels what an exiting thread
// has in flight); these signals are blocked in every thread and taken by one that does nothing
// else, so that no signal interrupts a write or ends the process in the middle of a flush.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import Glibc
internal import Ring

/// Starts threads.
enum Threads {
    /// Runs `body` on a new thread until it returns. Nobody waits for the thread: `body` says
    /// itself when it is done. `name`, of 15 bytes at most, is what tools show for the thread.
    static func start(named name: String, _ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(ThreadBody(name, body)).toOpaque()
        let result = unsafe pthread_create(&thread, nil, runThread, context)
        precondition(result == 0, "no thread can be started: error \(result)")
        pthread_detach(thread)
    }

    /// Ends only with the process.
    static func waitForever() -> Never {
        while true { pause() }
    }
}

private final class ThreadBody: Sendable {
    private let name: String
    private let body: @Sendable () -> Void

    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }

    func run() {
        do throws(SystemError) {
            try nameThread(name)
        } catch {
            preconditionFailure("\"\(name)\" is no thread's name: \(error)")
        }
        body()
    }
}

private nonisolated func runThread(
    _ context: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    unsafe Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
    return nil
}

/// What a signal asks for.
enum DaemonSignal: Sendable {
    /// SIGTERM or SIGINT, by its name.
    case stop(String)
    /// SIGHUP.
    case reload

    /// Blocks SIGTERM, SIGINT and SIGHUP in this thread and in all that it starts later, ignores
    /// SIGPIPE, and calls `received` each time one arrives. To be called once, before other
    /// threads.
    static func watch(_ received: @escaping @Sendable (DaemonSignal) -> Void) {
        signal(SIGPIPE, SIG_IGN)
        let signals = watchedSet()
        let result = unsafe withUnsafePointer(to: signals) { set in
            unsafe pthread_sigmask(SIG_BLOCK, set, nil)
        }
        precondition(result == 0, "signals can't be blocked: error \(result)")
        Threads.start(named: "signals") {
            let signals = watchedSet()
            while true {
                var number: CInt = 0
                let result = unsafe withUnsafePointer(to: signals) { set in
                    unsafe sigwait(set, &number)
                }
                guard result == 0 else { continue }
                switch number {
                case SIGHUP: received(.reload)
                case SIGTERM: received(.stop("SIGTERM"))
                default: received(.stop("SIGINT"))
                }
            }
        }
    }

    private static func watchedSet() -> sigset_t {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGTERM)
        unsafe sigaddset(&signals, SIGINT)
        unsafe sigaddset(&signals, SIGHUP)
        return signals
    }
}

#endif
