// RequestTable: the requests under way, in a number of places fixed at start.
//
// Always holds: a request stays in its place until each of its items has ended, once; then it is
// given out and the place is free.

internal import Wire

struct RequestTable {
    struct Entry {
        let request: ClientRequest
        /// XXH3-64 of the values that leave with it.
        let checksums: [UInt64]
        let deadline: MonotonicTime
        let policy: RequestPolicy
        fileprivate var outcome: RequestOutcome
        fileprivate var openItems: Int
    }

    private var entries: [Entry?]
    private var free: [Int]
    private var nextTag: UInt64 = 1

    init(capacity: Int) {
        entries = Array(repeating: nil, count: capacity)
        free = Array((0..<capacity).reversed())
    }

    var isFull: Bool { free.isEmpty }
    var count: Int { entries.count - free.count }

    /// Takes a place; the table may not be full.
    mutating func add(
        _ request: ClientRequest, checksums: [UInt64], deadline: MonotonicTime,
        policy: RequestPolicy
    ) -> (slot: Int, tag: RequestTag) {
        guard let slot = free.popLast() else { preconditionFailure("a table that is full") }
        let tag = RequestTag(nextTag)
        nextTag += 1
        var outcome = RequestOutcome(tag: tag, status: .ok)
        outcome.items = Array(
            repeating: ItemOutcome(status: .ok), count: request.batchCount ?? 0)
        entries[slot] = Entry(
            request: request, checksums: checksums, deadline: deadline, policy: policy,
            outcome: outcome, openItems: request.itemCount)
        return (slot, tag)
    }

    subscript(slot: Int) -> Entry {
        guard let entry = entries[slot] else { preconditionFailure("a request that has ended") }
        return entry
    }

    /// Ends one item; returns the request's outcome when it was the last.
    mutating func end(
        _ item: Int, of slot: Int, with ended: ItemOutcome, facts: BlockFacts? = nil
    ) -> RequestOutcome? {
        guard entries[slot] != nil else { preconditionFailure("an item ended twice") }
        if entries[slot]!.outcome.items.isEmpty {
            entries[slot]!.outcome.status = ended.status
            entries[slot]!.outcome.valueBytes = ended.valueBytes
            entries[slot]!.outcome.facts = facts
        } else {
            entries[slot]!.outcome.items[item] = ended
        }
        entries[slot]!.openItems -= 1
        guard entries[slot]!.openItems == 0 else { return nil }
        defer {
            entries[slot] = nil
            free.append(slot)
        }
        return entries[slot]!.outcome
    }
}
