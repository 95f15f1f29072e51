// SlotReleases: freed slots on their way back: from the record that freed them to being allocatable
// again.
//
// Always holds: a slot is handed out again only when the journal block that freed it is settled, no
// read holds it, and its discard has completed. Waiting is first in, first out.

/// One drive's freed slots.
struct SlotReleases: ~Copyable {
    /// Extents being discarded at once.
    static let discardLimit = 8

    struct Release: Sendable {
        var extent: SlotExtent
        var sequence: JournalSequence
    }

    struct Discard: Sendable {
        var extent: SlotExtent
        var operationsLeft = 0
    }

    private var waiting: RingQueue<Release>
    private var discards: FixedArray<Discard?>

    init(capacity: Int) {
        waiting = RingQueue(capacity: capacity)
        discards = FixedArray(count: Self.discardLimit, repeating: nil)
    }

    /// Extents not yet given back.
    private(set) var count = 0
    /// True when so many wait that changes must wait too.
    var isCrowded: Bool { waiting.count > waiting.room }
    var isEmpty: Bool { count == 0 }

    mutating func append(_ extent: SlotExtent, freedBy sequence: JournalSequence) {
        waiting.append(Release(extent: extent, sequence: sequence))
        count += 1
    }

    /// The next extent whose record is settled and that nobody reads. One that is read goes to the
    /// back.
    mutating func next(
        settled: JournalSequence, on drive: DriveIndex, readers: borrowing SlotReaders
    ) -> SlotExtent? {
        for _ in 0..<waiting.count {
            guard let front = waiting.front, front.sequence <= settled else { return nil }
            _ = waiting.popFirst()
            if !readers.isRead(front.extent.slots[0], on: drive) { return front.extent }
            waiting.append(front)
        }
        return nil
    }

    /// A place to discard `extent` in; nil when the limit is reached.
    mutating func beginDiscard(_ extent: SlotExtent, operations: Int) -> Int? {
        for index in 0..<Self.discardLimit where discards[index] == nil {
            discards[index] = Discard(extent: extent, operationsLeft: operations)
            return index
        }
        return nil
    }

    var canDiscard: Bool {
        for index in 0..<Self.discardLimit where discards[index] == nil { return true }
        return false
    }

    /// One operation of a discard has ended; the extent when it was the last.
    mutating func discarded(_ index: Int) -> SlotExtent? {
        guard var discard = discards[index] else { preconditionFailure("an unknown discard ended") }
        discard.operationsLeft -= 1
        if discard.operationsLeft > 0 {
            discards[index] = discard
            return nil
        }
        discards[index] = nil
        return discard.extent
    }

    /// An extent has been given back.
    mutating func finished() { count -= 1 }
}
