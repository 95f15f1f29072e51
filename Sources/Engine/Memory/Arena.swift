// Arena: the memory that devices and transports may read and write, mapped once at start.
//
// Always holds: everything the kernel or a NIC ever touches lies in an arena; places in it are
// offsets, not pointers, so an operation can be logged, compared and replayed; every access here is
// bounds-checked. The arena doesn't own its memory: whoever mapped it keeps it mapped until the
// process ends.
//
// One of the files that may say `unsafe`.

package import Wire

/// A distance in bytes from the start of an arena.
package struct ArenaOffset: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: ArenaOffset, right: ArenaOffset) -> Bool {
        left.rawValue < right.rawValue
    }
    package func advanced(by bytes: UInt64) -> ArenaOffset { ArenaOffset(rawValue + bytes) }
}

/// A stretch of an arena.
package struct ArenaRange: Hashable, Sendable {
    package let start: ArenaOffset
    package let length: ByteCount
    package init(start: ArenaOffset, length: ByteCount) {
        self.start = start
        self.length = length
    }
    /// The part that begins `offset` bytes in and is `length` bytes long; traps when it isn't
    /// inside.
    package func part(at offset: UInt64, length: ByteCount) -> ArenaRange {
        precondition(
            offset + length.rawValue <= self.length.rawValue,
            "part \(offset)+\(length.rawValue) outside a range of \(self.length.rawValue) bytes")
        return ArenaRange(start: start.advanced(by: offset), length: length)
    }
}

/// One mapping of memory, shared by an engine and its backends.
@safe
package struct Arena: @unchecked Sendable {
    // Sendable because the handle is immutable; who may touch which bytes is decided by leases.
    private let base: UnsafeMutableRawPointer
    package let length: ByteCount
    /// True when the mapping is made of huge pages.
    package let isHugePaged: Bool

    /// A handle on memory that stays mapped for the process's life. `base` is page-aligned.
    package init(base: UnsafeMutableRawPointer, length: ByteCount, isHugePaged: Bool) {
        unsafe self.base = base
        self.length = length
        self.isHugePaged = isHugePaged
    }

    /// The bytes of `range`, for backends and codecs; valid as long as the arena.
    @unsafe
    package func bytes(_ range: ArenaRange) -> UnsafeMutableRawBufferPointer {
        check(range.start, range.length.rawValue)
        return unsafe UnsafeMutableRawBufferPointer(
            start: base + Int(range.start.rawValue), count: Int(range.length.rawValue))
    }

    package func loadWord(_ offset: ArenaOffset) -> UInt64 {
        check(offset, 8)
        return unsafe UInt64(
            littleEndian: base.loadUnaligned(
                fromByteOffset: Int(offset.rawValue), as: UInt64.self))
    }

    package func storeWord(_ word: UInt64, at offset: ArenaOffset) {
        check(offset, 8)
        unsafe base.storeBytes(
            of: word.littleEndian, toByteOffset: Int(offset.rawValue), as: UInt64.self)
    }

    package func loadByte(_ offset: ArenaOffset) -> UInt8 {
        check(offset, 1)
        return unsafe base.load(fromByteOffset: Int(offset.rawValue), as: UInt8.self)
    }

    package func storeByte(_ byte: UInt8, at offset: ArenaOffset) {
        check(offset, 1)
        unsafe base.storeBytes(of: byte, toByteOffset: Int(offset.rawValue), as: UInt8.self)
    }

    /// Sets every byte of `range` to zero.
    package func zero(_ range: ArenaRange) {
        check(range.start, range.length.rawValue)
        unsafe (base + Int(range.start.rawValue)).initializeMemory(
            as: UInt8.self, repeating: 0, count: Int(range.length.rawValue))
    }

    /// Copies `length` bytes; the stretches may overlap.
    package func copy(from source: ArenaOffset, to target: ArenaOffset, length: ByteCount) {
        check(source, length.rawValue)
        check(target, length.rawValue)
        unsafe (base + Int(target.rawValue)).copyMemory(
            from: base + Int(source.rawValue), byteCount: Int(length.rawValue))
    }

    /// XXH3-64 of `range`.
    package func checksum(_ range: ArenaRange) -> UInt64 {
        unsafe Digest.xxh3(UnsafeRawBufferPointer(bytes(range)))
    }

    /// Adds `range` to a checksum made of pieces.
    package func add(_ range: ArenaRange, to checksum: inout StreamingChecksum) {
        unsafe checksum.add(UnsafeRawBufferPointer(bytes(range)))
    }

    /// Adds `range` to the code of a message.
    package func add(_ range: ArenaRange, to code: inout MessageCode) {
        unsafe code.add(UnsafeRawBufferPointer(bytes(range)))
    }

    /// The key at `offset`, 32 bytes as a frame's body or a leaf's cell carries them.
    @inline(__always)
    package func loadKey(_ offset: ArenaOffset, namespace: Namespace) -> BlockKey {
        BlockKey(
            namespace: namespace,
            littleEndianWords: [
                loadWord(offset), loadWord(offset.advanced(by: 8)),
                loadWord(offset.advanced(by: 16)), loadWord(offset.advanced(by: 24)),
            ])
    }

    /// Stores the key's 32 bytes at `offset`.
    package func storeKey(_ key: BlockKey, at offset: ArenaOffset) {
        let words = key.littleEndianWords
        for index in 0..<4 {
            storeWord(words[index], at: offset.advanced(by: UInt64(index) * 8))
        }
    }

    @inline(__always)
    private func check(_ offset: ArenaOffset, _ length: UInt64) {
        precondition(
            offset.rawValue <= self.length.rawValue
                && length <= self.length.rawValue - offset.rawValue,
            "\(length) bytes at \(offset.rawValue) are outside the arena")
    }
}

/// Hands out an arena's memory in order, at start; what is handed out is never taken back.
package struct ArenaPlanner: Sendable {
    private var next: UInt64 = 0
    private let limit: UInt64

    /// Plans the whole of an arena of `length` bytes.
    package init(length: ByteCount) { limit = length.rawValue }

    /// The next stretch of `length` bytes at a multiple of `alignment`; nil when the arena has no
    /// more.
    package mutating func take(_ length: ByteCount, alignment: UInt64 = 4096) -> ArenaRange? {
        let start = (next + alignment - 1) / alignment * alignment
        guard start <= limit, length.rawValue <= limit - start else { return nil }
        next = start + length.rawValue
        return ArenaRange(start: ArenaOffset(start), length: length)
    }
}
