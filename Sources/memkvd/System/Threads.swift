// Threads: long-lived threads of the daemon's own, and the signals that ask it to stop.
//
// Always holds: a shard's thread never comes from a pool (io_uring cancels what an exiting thread
// has in flight); stop signals are blocked in every thread and taken by one that does nothing else,
// so that no signal interrupts a write or ends the process in the middle of a flush.
//
// One of the files that may say `unsafe`.

internal import Glibc

/// Starts threads.
enum Threads {
    /// Runs `body` on a new thread until it returns. Nobody waits for the thread: `body` says
    /// itself when it is done.
    static func start(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(ThreadBody(body)).toOpaque()
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
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private nonisolated func runThread(
    _ context: UnsafeMutableRawPointer?
) -> UnsafeMutableRawPointer? {
    unsafe Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
    return nil
}

/// The signals that ask the daemon to stop.
enum StopSignals {
    /// Blocks SIGTERM and SIGINT in this thread and in all that it starts later, ignores SIGPIPE,
    /// and calls `received` with the signal's name each time one arrives. To be called once, before
    /// other threads.
    static func watch(_ received: @escaping @Sendable (String) -> Void) {
        signal(SIGPIPE, SIG_IGN)
        let signals = stopSet()
        let result = unsafe withUnsafePointer(to: signals) { set in
            unsafe pthread_sigmask(SIG_BLOCK, set, nil)
        }
        precondition(result == 0, "signals can't be blocked: error \(result)")
        Threads.start {
            let signals = stopSet()
            while true {
                var number: CInt = 0
                let result = unsafe withUnsafePointer(to: signals) { set in
                    unsafe sigwait(set, &number)
                }
                if result == 0 { received(number == SIGTERM ? "SIGTERM" : "SIGINT") }
            }
        }
    }

    private static func stopSet() -> sigset_t {
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGTERM)
        unsafe sigaddset(&signals, SIGINT)
        return signals
    }
}
