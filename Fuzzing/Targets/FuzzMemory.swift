// FuzzMemory: the memory that targets hand to the code under test.
//
// One of the files that may say `unsafe`.

import Engine
import Glibc
import Wire

enum FuzzMemory {
    /// An arena for the rest of the process, zeroed.
    static func arena(byteCount: Int) -> Arena {
        let base = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
        unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: byteCount)
        return unsafe Arena(base: base, length: ByteCount(byteCount), isHugePaged: false)
    }

    /// Whether `range` holds exactly `bytes`.
    static func holds(_ arena: Arena, _ range: ArenaRange, _ bytes: ArraySlice<UInt8>) -> Bool {
        unsafe bytes.withUnsafeBytes { bytes in
            let held = unsafe arena.bytes(range)
            guard held.count == bytes.count else { return false }
            guard let first = held.baseAddress, let second = bytes.baseAddress else { return true }
            return unsafe memcmp(first, second, bytes.count) == 0
        }
    }

    /// XXH3-64 of `bytes`.
    static func checksum(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe Digest.xxh3($0) }
    }

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 { unsafe Digest.xxh3(bytes) }

    /// The bytes of `range`.
    static func bytes(_ arena: Arena, _ range: ArenaRange) -> [UInt8] {
        unsafe [UInt8](arena.bytes(range))
    }

    /// Copies `bytes` to `offset`.
    static func copy(_ bytes: [UInt8], to arena: Arena, at offset: ArenaOffset) {
        guard !bytes.isEmpty else { return }
        let range = ArenaRange(start: offset, length: ByteCount(bytes.count))
        unsafe bytes.withUnsafeBytes { unsafe arena.bytes(range).copyMemory(from: $0) }
    }
}
