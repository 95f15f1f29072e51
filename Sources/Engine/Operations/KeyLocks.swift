// KeyLocks: changes of one key happen one after the other ("extent lock").
//
// Always holds: a key has one owner at most; the next owner is the one that has waited longest.
// Reads don't lock: they see the value that is committed when they look.

import Wire

/// Who owns which key.
struct KeyLocks: ~Copyable {
    private var locks: FixedMap<BlockKey, WaitQueue>

    /// Room for `capacity` keys owned at once: one per operation.
    init(capacity: Int, seed: UInt64) { locks = FixedMap(capacity: capacity, seed: seed) }

    func isLocked(_ key: BlockKey) -> Bool { locks[key] != nil }

    /// Gives `operation` its key now (true), or makes it wait for it (false).
    mutating func acquire(
        _ key: BlockKey, for operation: OperationIndex, in operations: inout OperationTable
    ) -> Bool {
        if var waiters = locks[key] {
            operations.append(operation, to: &waiters)
            locks.set(key, to: waiters)
            return false
        }
        precondition(locks.set(key, to: WaitQueue()), "more keys owned than operations")
        operations[operation].holdsKey = true
        return true
    }

    /// Takes all who wait for `key` out of its queue: to be woken though it isn't theirs.
    mutating func takeWaiters(of key: BlockKey) -> WaitQueue {
        guard let waiters = locks[key] else { return WaitQueue() }
        locks.set(key, to: WaitQueue())
        return waiters
    }

    /// Takes the key from `operation`; the next owner, which has it now.
    mutating func release(
        _ key: BlockKey, by operation: OperationIndex, in operations: inout OperationTable
    ) -> OperationIndex? {
        precondition(operations[operation].holdsKey, "a key given back by one who doesn't own it")
        operations[operation].holdsKey = false
        guard var waiters = locks[key] else { preconditionFailure("an owned key without a lock") }
        guard let heir = operations.popFirst(&waiters) else {
            locks.remove(key)
            return nil
        }
        locks.set(key, to: waiters)
        operations[heir].holdsKey = true
        return heir
    }
}
