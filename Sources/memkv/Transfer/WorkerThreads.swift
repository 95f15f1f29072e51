// WorkerThreads: a transfer's threads, and the first failure among them.

import Foundation
import Synchronization

/// The first thing that went wrong, for all threads to see.
final class FirstFailure: Sendable {
    private let failure = Mutex<CommandFailure?>(nil)

    func record(_ new: CommandFailure) {
        failure.withLock { if $0 == nil { $0 = new } }
    }

    var value: CommandFailure? { failure.withLock { $0 } }

    func rethrow() throws(CommandFailure) {
        if let value { throw value }
    }
}

enum WorkerThreads {
    /// Starts `count` threads that run `body`; returns what waits for their ends.
    static func start(_ count: Int, _ body: @escaping @Sendable () -> Void) -> DispatchGroup {
        let group = DispatchGroup()
        for _ in 0..<count {
            group.enter()
            Thread.detachNewThread {
                body()
                group.leave()
            }
        }
        return group
    }
}
