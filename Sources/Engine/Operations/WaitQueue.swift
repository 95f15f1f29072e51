// WaitQueue: operations that wait for the same thing, first in, first out, linked through the
// operations.
//
// Always holds: an operation waits in one queue at most, so the links need no memory of their own.

/// An operation's place in the operation table.
struct OperationIndex: Hashable, Sendable {
    let rawValue: Int32
    init(_ rawValue: Int32) { self.rawValue = rawValue }
    static let none = OperationIndex(-1)
}

/// A queue of waiting operations.
struct WaitQueue: Sendable {
    fileprivate(set) var first = OperationIndex.none
    fileprivate(set) var last = OperationIndex.none
    var isEmpty: Bool { first == .none }
}

extension OperationTable {
    /// Puts `operation` at the end of `queue`; traps when it waits already.
    mutating func append(_ operation: OperationIndex, to queue: inout WaitQueue) {
        precondition(!self[operation].isWaiting, "an operation that waits twice")
        self[operation].isWaiting = true
        self[operation].nextWaiting = .none
        if queue.isEmpty {
            queue.first = operation
        } else {
            self[queue.last].nextWaiting = operation
        }
        queue.last = operation
    }

    /// Takes the first operation out of `queue`.
    mutating func popFirst(_ queue: inout WaitQueue) -> OperationIndex? {
        let first = queue.first
        if first == .none { return nil }
        queue.first = self[first].nextWaiting
        if queue.first == .none { queue.last = .none }
        self[first].isWaiting = false
        self[first].nextWaiting = .none
        return first
    }

    /// Moves all of `queue` to the end of `target`.
    mutating func move(_ queue: inout WaitQueue, to target: inout WaitQueue) {
        while let operation = popFirst(&queue) { append(operation, to: &target) }
    }
}
