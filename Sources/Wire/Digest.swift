// XXH3-64 checksums and SHA-256 digests over bytes that somebody else owns.
//
// The one unsafe file of Wire: it passes memory to CDigest for the length of a call and keeps none
// of it, except for the streaming state, which it owns.

private import CDigest

/// One-shot digests.
package enum Digest {
    /// XXH3-64 (seed 0) of `bytes`.
    package static func xxh3(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        guard let base = bytes.baseAddress else { return emptyChecksum }
        return unsafe memkv_xxh3(base, bytes.count)
    }

    /// SHA-256 of `bytes`, as a key of `namespace`.
    package static func sha256Key(
        _ bytes: UnsafeRawBufferPointer, namespace: Namespace
    ) -> BlockKey {
        var words: InlineArray<4, UInt64> = .init(repeating: 0)
        let done = unsafe withUnsafeMutableBytes(of: &words) { digest in
            unsafe memkv_sha256(
                bytes.baseAddress ?? UnsafeRawPointer(digest.baseAddress!), bytes.count,
                digest.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
        precondition(done == 1, "libcrypto refused SHA-256")
        for index in 0..<4 { words[index] = UInt64(littleEndian: words[index]) }
        return BlockKey(namespace: namespace, littleEndianWords: words)
    }

    /// SHA-256 of a transcript's words, little-endian.
    static func sha256(_ words: InlineArray<31, UInt64>) -> Secret {
        var bytes = words
        for index in bytes.indices { bytes[index] = words[index].littleEndian }
        let digest = unsafe withUnsafeBytes(of: bytes) { buffer in
            unsafe sha256Key(buffer, namespace: Namespace(0))
        }
        return Secret(words: digest.littleEndianWords)
    }

    /// The vector width that XXH3 runs with on this processor.
    package static var xxh3Kernel: String { unsafe String(cString: memkv_xxh3_kernel()) }

    /// XXH3-64 of no bytes, from the specification's test vectors.
    private static let emptyChecksum: UInt64 = 0x2D06_8005_38D3_94C2
}

/// XXH3-64 of bytes that arrive in pieces. Owns its state's memory; made once, used again and
/// again.
@safe
package struct StreamingChecksum: ~Copyable {
    private let state: UnsafeMutableRawPointer

    package init() {
        unsafe state = UnsafeMutableRawPointer.allocate(
            byteCount: Int(MEMKV_XXH3_STATE_BYTES), alignment: 64)
        unsafe memkv_xxh3_begin(state)
    }

    deinit { unsafe state.deallocate() }

    /// Forgets what was added.
    package mutating func begin() { unsafe memkv_xxh3_begin(state) }

    /// Adds the next piece.
    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        unsafe memkv_xxh3_add(state, base, bytes.count)
    }

    /// The checksum of everything added since `begin`.
    package mutating func end() -> UInt64 { unsafe memkv_xxh3_end(state) }
}
