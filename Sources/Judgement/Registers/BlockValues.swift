// BlockValues: the values of a simulated workload, made from a name alone, so that nobody has to
// keep them.
//
// Always holds: a value's bytes are a function of seed, key, version and length; every 512 bytes
// begin with words that no other value has, so a piece of one value inside another shows.
//
// One of the files that may say `unsafe`.

private import Wire

/// Names a value: whose it is, which of its key's, how long.
package struct ValueName: Hashable, Sendable {
    /// The key's number in its workload.
    package let key: UInt32
    /// Counts the key's values from 1.
    package let version: UInt32
    package let lengthBytes: UInt32

    package init(key: UInt32, version: UInt32, lengthBytes: UInt32) {
        self.key = key
        self.version = version
        self.lengthBytes = lengthBytes
    }

    var word: UInt64 { UInt64(key) << 32 | UInt64(version) }
}

/// A workload's values.
package struct BlockValues: Sendable {
    private static let chunkBytes = 4096
    private static let stampInterval = 512
    private static let bankBytes = 256 << 10
    private let seed: UInt64
    private let bank: [UInt8]

    package init(seed: UInt64) {
        self.seed = BlockKey.finalize(seed)
        var bank: [UInt8] = []
        bank.reserveCapacity(Self.bankBytes)
        var word = self.seed
        while bank.count < Self.bankBytes {
            word = BlockKey.finalize(word)
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bank.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        self.bank = bank
    }

    /// Makes `memory` the value: its length is the memory's.
    package func fill(_ memory: UnsafeMutableRawBufferPointer, _ name: ValueName) {
        precondition(memory.count == Int(name.lengthBytes), "a value in memory of another length")
        unsafe bank.withUnsafeBytes { bank in
            var start = 0
            while start < memory.count {
                let count = min(Self.chunkBytes, memory.count - start)
                let source = source(of: name, at: start)
                unsafe memory[start..<start + count].copyBytes(from: bank[source..<source + count])
                start += count
            }
        }
        for place in stride(from: 0, to: memory.count - 15, by: Self.stampInterval) {
            let stamp = stamp(of: name, at: place)
            unsafe memory.storeBytes(of: stamp.0.littleEndian, toByteOffset: place, as: UInt64.self)
            unsafe memory.storeBytes(
                of: stamp.1.littleEndian, toByteOffset: place + 8, as: UInt64.self)
        }
    }

    /// Whether `memory` holds the value, every byte of it.
    package func matches(_ memory: UnsafeRawBufferPointer, _ name: ValueName) -> Bool {
        guard memory.count == Int(name.lengthBytes) else { return false }
        return unsafe bank.withUnsafeBytes { bank in
            var place = 0
            while place < memory.count {
                let chunkStart = place / Self.chunkBytes * Self.chunkBytes
                let source = source(of: name, at: chunkStart) + place - chunkStart
                let end = min(place + Self.stampInterval, memory.count)
                var first = place
                if place + 16 <= memory.count {
                    let stamp = stamp(of: name, at: place)
                    guard unsafe word(memory, place) == stamp.0,
                        unsafe word(memory, place + 8) == stamp.1
                    else { return false }
                    first += 16
                }
                let expected = unsafe UnsafeRawBufferPointer(
                    rebasing: bank[source + first - place..<source + end - place])
                let piece = unsafe UnsafeRawBufferPointer(rebasing: memory[first..<end])
                guard unsafe Self.areEqual(piece, expected) else { return false }
                place = end
            }
            return true
        }
    }

    /// Word by word, then what is left byte by byte.
    private static func areEqual(
        _ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer
    ) -> Bool {
        let words = left.count / 8
        var difference: UInt64 = 0
        for index in 0..<words {
            difference |=
                unsafe left.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
                ^ right.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
        }
        for index in words * 8..<left.count {
            difference |= UInt64(unsafe left[index] ^ right[index])
        }
        return difference == 0
    }

    /// Whose value the memory begins with, for reports; nil when it is nobody's.
    package func origin(of memory: UnsafeRawBufferPointer) -> ValueName? {
        guard memory.count >= 16 else { return nil }
        let first = unsafe word(memory, 0)
        let name = ValueName(
            key: UInt32(truncatingIfNeeded: first >> 32),
            version: UInt32(truncatingIfNeeded: first), lengthBytes: UInt32(memory.count))
        let stamp = stamp(of: name, at: 0)
        guard first == stamp.0, unsafe word(memory, 8) == stamp.1 else { return nil }
        return name
    }

    private func word(_ memory: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: unsafe memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    private func source(of name: ValueName, at chunkStart: Int) -> Int {
        let places = UInt64(Self.bankBytes - Self.chunkBytes) / 8
        let hash = BlockKey.finalize(seed ^ name.word &+ UInt64(chunkStart) << 17)
        return Int(hash % places) * 8
    }

    private func stamp(of name: ValueName, at place: Int) -> (UInt64, UInt64) {
        (name.word, BlockKey.finalize(seed ^ name.word &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(place)))
    }
}
