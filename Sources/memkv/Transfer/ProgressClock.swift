// ProgressClock: when a transfer gives up: `--timeout` after the last request that got anywhere, on
// whichever of its connections.

import Client
import Synchronization

final class ProgressClock: Sendable {
    let timeoutMicroseconds: UInt64
    private let last: Mutex<MonotonicTime>

    init(timeoutMicroseconds: UInt64) {
        self.timeoutMicroseconds = timeoutMicroseconds
        last = Mutex(BlockingClient.now)
    }

    /// Something got done.
    func tick() { last.withLock { $0 = BlockingClient.now } }

    var giveUpAt: MonotonicTime {
        last.withLock { $0 }.advanced(byMicroseconds: timeoutMicroseconds)
    }
}
