// ChangeList: the keys that a drive changed while their first or second drive was out, and those
// that came home to it while their second drive still had an older entry.
//
// Always holds: a key stands in it once, with the epoch of its last such change; every such change
// of an epoch above `floor` is in it. When there is no room for one more key the list forgets all
// and raises its floor to the highest epoch of what it forgets, because changes aren't noted in
// the order of their epochs: whoever was away then returns empty. Entries move only in `forget` and
// when it overflows, so the first `count` of one moment can be written down while more are noted.

import Wire

/// A bounded list of changed keys.
struct ChangeList: ~Copyable {
    private var entries: FixedArray<ChangedKey>
    private var places: FixedArray<UInt32>
    private let mask: Int
    private let seed: UInt64
    private(set) var count = 0
    /// The list says nothing of this epoch and those before it.
    private(set) var floor: UInt32
    /// Rises whenever entries move.
    private(set) var moves: UInt64 = 0
    /// Something has changed since this was last set to false.
    var isChanged = false
    /// No entry has a higher epoch.
    private var highest: UInt32 = 0

    init(capacity: Int, floor: UInt32, seed: UInt64) {
        entries = FixedArray(
            count: max(1, capacity), repeating: ChangedKey(key: .lowest, epoch: 0))
        var size = 8
        while size < capacity * 2 { size *= 2 }
        places = FixedArray(count: size, repeating: .max)
        mask = size - 1
        self.seed = seed
        self.floor = floor
    }

    func entry(at index: Int) -> ChangedKey {
        precondition(index < count, "change \(index) of \(count)")
        return entries[index]
    }

    /// Notes a change of `key` in `epoch`; true when the list had no room and has forgotten all.
    @discardableResult
    mutating func note(_ key: BlockKey, epoch: UInt32) -> Bool {
        if epoch <= floor { return false }
        let place = place(of: key)
        if places[place] == .max, count == entries.count {
            empty(floor: max(epoch, highest))
            return true
        }
        if places[place] == .max {
            places[place] = UInt32(count)
            entries[count] = ChangedKey(key: key, epoch: epoch)
            count += 1
            highest = max(highest, epoch)
            isChanged = true
        } else if entries[Int(places[place])].epoch < epoch {
            entries[Int(places[place])].epoch = epoch
            highest = max(highest, epoch)
            isChanged = true
        }
        return false
    }

    /// Forgets everything; `floor` is the lowest epoch that the list is complete above.
    mutating func empty(floor: UInt32) {
        if count > 0 { for place in 0...mask { places[place] = .max } }
        count = 0
        highest = 0
        moves += 1
        isChanged = true
        self.floor = max(self.floor, floor)
    }

    /// Forgets the entries of `epoch` and before it: nobody needs them any more.
    mutating func forget(through epoch: UInt32) {
        if epoch > floor { keep(floor: epoch) { $0 > epoch } }
    }

    /// True when entries are of a later epoch than `epoch`.
    func hasLater(than epoch: UInt32) -> Bool { highest > epoch }

    /// Forgets the entries of later epochs than `epoch`: nothing that they warn of can happen any
    /// more.
    mutating func forget(after epoch: UInt32) { keep(floor: floor) { $0 <= epoch } }

    private mutating func keep(floor: UInt32, _ isKept: (UInt32) -> Bool) {
        let old = count
        var kept = 0
        for index in 0..<old where isKept(entries[index].epoch) {
            entries[kept] = entries[index]
            kept += 1
        }
        empty(floor: floor)
        for index in 0..<kept {
            places[place(of: entries[index].key)] = UInt32(index)
            highest = max(highest, entries[index].epoch)
            count += 1
        }
    }

    private func place(of key: BlockKey) -> Int {
        var place = Int(truncatingIfNeeded: key.mixed(seed: seed)) & mask
        while places[place] != .max, entries[Int(places[place])].key != key {
            place = (place + 1) & mask
        }
        return place
    }
}
