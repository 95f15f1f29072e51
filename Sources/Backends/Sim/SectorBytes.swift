// SectorBytes: the content of one sector, immutable, and every copy between sectors and an arena.
//
// Always holds: a sector's bytes never change once made, so images share them; noise is a function
// of its seed, never zeros, so a reader that relies on "fresh means zero" is found.
//
// One of the files that may say `unsafe`.

package import Engine
private import Wire

/// One sector's content.
package struct SectorBytes: Sendable, Equatable {
    package let bytes: [UInt8]
    /// XXH3-64 of the bytes.
    package let checksum: UInt64

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        checksum = unsafe bytes.withUnsafeBytes { unsafe Digest.xxh3($0) }
    }

    /// The sector of `count` bytes at `offset` of `arena`.
    init(arena: Arena, at offset: ArenaOffset, count: Int) {
        self.init(arena.copyOut(ArenaRange(start: offset, length: ByteCount(count))))
    }

    /// Deterministic noise: what a sector holds that was never written, was discarded, or was
    /// damaged.
    package static func noise(seed: UInt64, count: Int) -> SectorBytes {
        let places = UInt64(noiseBank.count - count) / 8
        let start = Int(Mixer.mix(seed &+ 0x9E37_79B9_7F4A_7C15) % places) * 8
        return SectorBytes(Array(noiseBank[start..<start + count]))
    }

    /// The first half of `first` and the second half of `second`.
    static func torn(first: SectorBytes, second: SectorBytes) -> SectorBytes {
        let half = first.bytes.count / 2
        return SectorBytes(Array(first.bytes[..<half]) + Array(second.bytes[half...]))
    }

    /// The same sector with `mask` flipped in the byte at `position`.
    package func flipped(at position: Int, mask: UInt8) -> SectorBytes {
        var changed = bytes
        changed[position] ^= mask
        return SectorBytes(changed)
    }

    /// Copies the sector to `offset` of `arena`.
    func copy(to arena: Arena, at offset: ArenaOffset) { arena.copyIn(bytes, at: offset) }

    /// True when `arena` holds exactly these bytes at `offset`.
    func matches(_ arena: Arena, at offset: ArenaOffset) -> Bool {
        checksum
            == arena.checksum(ArenaRange(start: offset, length: ByteCount(bytes.count)))
    }

    package static func == (left: SectorBytes, right: SectorBytes) -> Bool {
        left.checksum == right.checksum && left.bytes == right.bytes
    }

    /// 256 KiB of random bytes that noise is cut from.
    private static let noiseBank: [UInt8] = {
        var random = RandomStream(seed: 0x6E6F_6973_65, name: "noise bank")
        var bank: [UInt8] = []
        bank.reserveCapacity(256 << 10)
        for _ in 0..<(32 << 10) {
            let word = random.next()
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bank.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        return bank
    }()
}

extension Arena {
    /// Copies `bytes` to `offset`.
    package func copyIn(_ bytes: [UInt8], at offset: ArenaOffset) {
        guard !bytes.isEmpty else { return }
        let range = ArenaRange(start: offset, length: ByteCount(bytes.count))
        unsafe bytes.withUnsafeBytes { source in
            unsafe self.bytes(range).copyMemory(from: source)
        }
    }

    /// The bytes of `range`.
    package func copyOut(_ range: ArenaRange) -> [UInt8] {
        unsafe Array(bytes(range))
    }

    /// Fills `range` with the byte that memory in transit carries here.
    func scribble(_ range: ArenaRange) {
        unsafe bytes(range).initializeMemory(as: UInt8.self, repeating: 0xDB)
    }
}

extension SlabLease {
    /// Copies `bytes` to the lease's start.
    package func copyIn(_ bytes: [UInt8]) {
        var position = 0
        while position < bytes.count {
            let piece = piece(at: UInt64(position), limit: ByteCount(bytes.count - position))
            let end = position + Int(piece.length.rawValue)
            pool.arena.copyIn(Array(bytes[position..<end]), at: piece.start)
            position = end
        }
    }

    /// The lease's first `count` bytes.
    package func copyOut(count: UInt64) -> [UInt8] {
        precondition(count <= capacity.rawValue, "a payload longer than its lease")
        var bytes: [UInt8] = []
        while UInt64(bytes.count) < count {
            let position = UInt64(bytes.count)
            bytes += pool.arena.copyOut(piece(at: position, limit: ByteCount(count - position)))
        }
        return bytes
    }
}

/// Memory for simulated shards, used by one after the other; freed with its last reference.
@safe
package final class SimulatedMemory {
    package let arena: Arena
    private let base: UnsafeMutableRawPointer

    /// `length` bytes, scribbled over, never zero.
    package init(length: ByteCount) {
        unsafe base = .allocate(byteCount: Int(length.rawValue), alignment: 4096)
        unsafe base.initializeMemory(as: UInt8.self, repeating: 0xDB, count: Int(length.rawValue))
        unsafe arena = Arena(base: base, length: length, isHugePaged: false)
    }

    deinit { unsafe base.deallocate() }
}

/// XXH3-64 of `bytes`, as a client computes it.
func checksum(of bytes: [UInt8]) -> UInt64 {
    unsafe bytes.withUnsafeBytes { unsafe Digest.xxh3($0) }
}
