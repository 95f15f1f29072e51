// Bitmap: a fixed number of bits, counted.

/// `count` bits, all clear at first.
package struct Bitmap: ~Copyable {
    private var words: FixedArray<UInt64>
    package let count: Int
    package private(set) var setCount = 0
    private var searchFrom = 0

    package init(count: Int) {
        self.count = count
        words = FixedArray(count: (count + 63) / 64, repeating: 0)
    }

    package subscript(index: Int) -> Bool {
        precondition(index >= 0 && index < count, "bit \(index) of \(count)")
        return words[index / 64] >> UInt64(index % 64) & 1 == 1
    }

    /// Sets a clear bit; false when it was set.
    @discardableResult
    package mutating func set(_ index: Int) -> Bool {
        if self[index] { return false }
        words[index / 64] |= 1 << UInt64(index % 64)
        setCount += 1
        return true
    }

    /// Clears a set bit; false when it was clear.
    @discardableResult
    package mutating func clear(_ index: Int) -> Bool {
        if !self[index] { return false }
        words[index / 64] &= ~(1 << UInt64(index % 64))
        setCount -= 1
        return true
    }

    package mutating func clearAll() {
        for index in 0..<words.count { words[index] = 0 }
        setCount = 0
    }

    /// A clear bit, searched from where the last one was found; nil when all are set.
    package mutating func findClear() -> Int? {
        if setCount == count { return nil }
        let wordCount = words.count
        for step in 0...wordCount {
            let word = (searchFrom + step) % wordCount
            let clear = ~words[word]
            if clear == 0 { continue }
            let index = word * 64 + clear.trailingZeroBitCount
            if index < count {
                searchFrom = word
                return index
            }
        }
        return nil
    }
}
