// FixedMap: a hash table of fixed capacity: linear probing, deletion by shifting back (Knuth, TAOCP
// 6.4, algorithm R), so it never degrades and never allocates.
//
// Always holds: at most `capacity` entries in a table at least twice as large; a full map refuses.

/// A key of a `FixedMap`.
package protocol FixedMapKey: Equatable {
    /// A well-mixed hash under `seed`.
    func mapHash(seed: UInt64) -> UInt64
}

/// A map from `Key` to `Value` with room for `capacity` entries.
package struct FixedMap<Key: FixedMapKey, Value>: ~Copyable {
    private var entries: FixedArray<(key: Key, value: Value)?>
    private let mask: Int
    private let seed: UInt64
    package let capacity: Int
    package private(set) var count = 0

    package init(capacity: Int, seed: UInt64) {
        var size = 8
        while size < capacity * 2 { size *= 2 }
        entries = FixedArray(count: size, repeating: nil)
        mask = size - 1
        self.seed = seed
        self.capacity = capacity
    }

    package var isFull: Bool { count >= capacity }

    private func position(of key: Key) -> Int {
        var position = home(of: key)
        while let entry = entries[position] {
            if entry.key == key { return position }
            position = (position + 1) & mask
        }
        return position
    }

    private func home(of key: Key) -> Int {
        Int(truncatingIfNeeded: key.mapHash(seed: seed)) & mask
    }

    package subscript(key: Key) -> Value? { entries[position(of: key)]?.value }

    /// Sets the value of `key`; false when it is new and the map is full.
    @discardableResult
    package mutating func set(_ key: Key, to value: Value) -> Bool {
        let position = position(of: key)
        if entries[position] == nil {
            if isFull { return false }
            count += 1
        }
        entries[position] = (key, value)
        return true
    }

    /// Removes `key` and returns its value, nil when it wasn't there.
    @discardableResult
    package mutating func remove(_ key: Key) -> Value? {
        var hole = position(of: key)
        guard let removed = entries[hole] else { return nil }
        entries[hole] = nil
        count -= 1
        var position = (hole + 1) & mask
        while let entry = entries[position] {
            let home = home(of: entry.key)
            // The entry may move into the hole unless its home lies cyclically behind the hole.
            if (position - home) & mask >= (position - hole) & mask {
                entries[hole] = entry
                entries[position] = nil
                hole = position
            }
            position = (position + 1) & mask
        }
        return removed.value
    }

    /// Forgets everything.
    package mutating func removeAll() {
        if count == 0 { return }
        for index in 0...mask { entries[index] = nil }
        count = 0
    }

    /// Places, occupied or not: `entry(at:)` walks the map in an order that depends on keys and
    /// seed alone.
    package var placeCount: Int { mask + 1 }
    package func entry(at place: Int) -> (key: Key, value: Value)? { entries[place] }
}

extension UInt32: FixedMapKey {
    package func mapHash(seed: UInt64) -> UInt64 { UInt64(self).mapHash(seed: seed) }
}

extension UInt64: FixedMapKey {
    package func mapHash(seed: UInt64) -> UInt64 {
        let mixed = (self ^ seed) &* 0x9E37_79B9_7F4A_7C15
        return mixed ^ (mixed >> 29)
    }
}
