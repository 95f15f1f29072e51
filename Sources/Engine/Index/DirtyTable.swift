// DirtyTable: a drive's dirty queue: the newest entry of every key changed since the last
// checkpoint began.
//
// Always holds: one entry a key, the newest; at most `capacity` keys; entries are forgotten
// together, when the checkpoint that folded them is complete. A removal is an entry too (a
// tombstone): it hides the leaf's.

import Wire

/// What a drive's dirty queue says of a key.
struct DirtyEntry: Sendable {
    var entry: BlockEntry
    var isTombstone: Bool

    static let none = DirtyEntry(
        entry: BlockEntry(
            key: .lowest, version: Version(0), lengthBytes: 1, checksum: 0,
            sizeClass: SizeClass(0), slots: SlotList()), isTombstone: true)
}

/// Keys changed and not yet folded.
struct DirtyTable: ~Copyable {
    private var entries: FixedArray<DirtyEntry>
    private var places: FixedArray<UInt32>
    private let mask: Int
    private let seed: UInt64
    private(set) var count = 0

    init(capacity: Int, seed: UInt64) {
        entries = FixedArray(count: capacity, repeating: .none)
        var size = 8
        while size < capacity * 2 { size *= 2 }
        places = FixedArray(count: size, repeating: .max)
        mask = size - 1
        self.seed = seed
    }

    var capacity: Int { entries.count }

    private func place(of key: BlockKey) -> Int {
        var place = Int(truncatingIfNeeded: key.mixed(seed: seed)) & mask
        while places[place] != .max, entries[Int(places[place])].entry.key != key {
            place = (place + 1) & mask
        }
        return place
    }

    subscript(key: BlockKey) -> DirtyEntry? {
        if count == 0 { return nil }
        let index = places[place(of: key)]
        return index == .max ? nil : entries[Int(index)]
    }

    /// Replaces what is known of the entry's key. Traps when a new key doesn't fit: admission
    /// prevents it.
    mutating func set(_ entry: DirtyEntry) {
        let place = place(of: entry.entry.key)
        if places[place] == .max {
            precondition(count < entries.count, "the dirty queue of \(entries.count) is full")
            places[place] = UInt32(count)
            count += 1
        }
        entries[Int(places[place])] = entry
    }

    /// The entry that became the `index`-th key.
    func entry(at index: Int) -> DirtyEntry {
        precondition(index < count, "dirty entry \(index) of \(count)")
        return entries[index]
    }

    func key(at index: Int) -> BlockKey { entries[index].entry.key }

    mutating func removeAll() {
        if count == 0 { return }
        for place in 0...mask { places[place] = .max }
        count = 0
    }

    /// Writes the places of all entries into `order`, sorted by key (heapsort: in place, no
    /// allocation).
    func sort(into order: inout FixedArray<UInt32>) {
        precondition(order.count >= count, "no room to sort \(count) entries")
        for index in 0..<count { order[index] = UInt32(index) }
        var start = count / 2
        var end = count
        while end > 1 {
            if start > 0 {
                start -= 1
            } else {
                end -= 1
                let last = order[end]
                order[end] = order[0]
                order[0] = last
            }
            siftDown(&order, from: start, end: end)
        }
    }

    private func siftDown(_ order: inout FixedArray<UInt32>, from start: Int, end: Int) {
        var root = start
        let moving = order[root]
        let movingKey = entries[Int(moving)].entry.key
        while 2 * root + 1 < end {
            var child = 2 * root + 1
            var childKey = entries[Int(order[child])].entry.key
            if child + 1 < end {
                let rightKey = entries[Int(order[child + 1])].entry.key
                if childKey < rightKey {
                    child += 1
                    childKey = rightKey
                }
            }
            if !(movingKey < childKey) { break }
            order[root] = order[child]
            root = child
        }
        order[root] = moving
    }
}
