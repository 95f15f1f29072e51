// StreamingDigest: SHA-256 of bytes that arrive in pieces; of a whole file, above all.
//
// Always holds: it owns libcrypto's context and frees it. One of the files that may say `unsafe`.

private import CDigest

/// SHA-256 in pieces. Used once.
@safe
package struct StreamingDigest: ~Copyable {
    private let state: UnsafeMutableRawPointer

    package init() {
        guard let made = unsafe memkv_sha256_begin() else {
            preconditionFailure("libcrypto refused SHA-256")
        }
        unsafe state = made
    }

    deinit { unsafe memkv_sha256_free(state) }

    /// Adds the next piece.
    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        let done = unsafe memkv_sha256_add(state, base, bytes.count)
        precondition(done == 1, "libcrypto refused SHA-256")
    }

    /// The digest of everything added, as 64 lower-case hex digits.
    package consuming func hexadecimal() -> String {
        var digest = InlineArray<4, UInt64>(repeating: 0)
        let done = unsafe withUnsafeMutableBytes(of: &digest) { bytes in
            unsafe memkv_sha256_end(state, bytes.baseAddress!.assumingMemoryBound(to: UInt8.self))
        }
        precondition(done == 1, "libcrypto refused SHA-256")
        for index in 0..<4 { digest[index] = UInt64(littleEndian: digest[index]) }
        return BlockKey(namespace: Namespace(0), littleEndianWords: digest).hexadecimal
    }
}
