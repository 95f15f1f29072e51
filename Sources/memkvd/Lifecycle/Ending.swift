// Ending: the first thing that went wrong, which decides the exit code.

internal import Synchronization

/// Shared by the tasks of one run.
final class Ending: Sendable {
    private let first = Mutex<StartFailure?>(nil)

    /// Keeps `failure` unless one is kept already.
    func record(_ failure: StartFailure) {
        first.withLock { if $0 == nil { $0 = failure } }
    }

    /// Nil when nothing went wrong.
    var failure: StartFailure? { first.withLock { $0 } }
}
