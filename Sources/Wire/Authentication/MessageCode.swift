// HMAC-SHA256 of messages that arrive in pieces, and what is made of it: tags and proofs.
//
// Always holds: nothing here allocates; two codes are compared in a time that doesn't depend on
// where they differ; a secret shows neither in a description nor in a comparison with `==`.
// One of the files that may say `unsafe`: it passes its own memory to CDigest.
//
// RFC 2104 (HMAC), RFC 5869 (HKDF); libcrypto's SHA-256.

private import CDigest

/// 32 secret bytes, as four little-endian words.
package struct Secret: Sendable {
    package var words: InlineArray<4, UInt64>

    package init(words: InlineArray<4, UInt64>) { self.words = words }

    /// True when both are the same, found out in constant time.
    package func matches(_ other: Secret) -> Bool {
        unsafe withUnsafeBytes(of: words) { left in
            unsafe withUnsafeBytes(of: other.words) { right in
                unsafe memkv_equal(left.baseAddress!, right.baseAddress!, left.count) == 1
            }
        }
    }

    /// Overwrites the bytes.
    package mutating func forget() {
        unsafe withUnsafeMutableBytes(of: &words) { bytes in
            unsafe memkv_forget(bytes.baseAddress!, bytes.count)
        }
    }
}

/// The 16 bytes that show a header, a body or a payload to be genuine: the first half of an
/// HMAC-SHA256, as two little-endian words.
package struct FrameTag: Sendable {
    package static let byteCount = 16

    package let words: InlineArray<2, UInt64>

    package init(words: InlineArray<2, UInt64>) { self.words = words }

    /// The first half of a code.
    init(_ code: Secret) { words = [code.words[0], code.words[1]] }

    /// True when both are the same, found out in constant time.
    package func matches(_ other: FrameTag) -> Bool {
        unsafe withUnsafeBytes(of: words) { left in
            unsafe withUnsafeBytes(of: other.words) { right in
                unsafe memkv_equal(left.baseAddress!, right.baseAddress!, left.count) == 1
            }
        }
    }
}

/// SHA-256's state, as the words it is kept in.
private typealias HashState = InlineArray<14, UInt64>

/// A key, ready for any number of messages.
package struct MessageKey: Sendable {
    fileprivate var inner = HashState(repeating: 0)
    fileprivate var outer = HashState(repeating: 0)

    package init(_ key: Secret) {
        unsafe withUnsafeMutableBytes(of: &inner) { inner in
            unsafe withUnsafeMutableBytes(of: &outer) { outer in
                unsafe withUnsafeBytes(of: key.words) { key in
                    unsafe memkv_mac_prepare(
                        inner.baseAddress!, outer.baseAddress!,
                        key.baseAddress!.assumingMemoryBound(to: UInt8.self))
                }
            }
        }
    }

    /// Overwrites the key.
    package mutating func forget() {
        unsafe withUnsafeMutableBytes(of: &self) { bytes in
            unsafe memkv_forget(bytes.baseAddress!, bytes.count)
        }
    }
}

/// The code of one message under one key, piece by piece. Used once.
package struct MessageCode: Sendable {
    private var state: HashState
    private let outer: HashState

    package init(_ key: MessageKey) {
        state = key.inner
        outer = key.outer
    }

    /// Adds the next piece.
    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        unsafe withUnsafeMutableBytes(of: &state) { state in
            unsafe memkv_mac_add(state.baseAddress!, base, bytes.count)
        }
    }

    /// Adds a little-endian word.
    package mutating func add(_ word: UInt64) {
        unsafe withUnsafeBytes(of: word.littleEndian) { unsafe add($0) }
    }

    /// Adds little-endian words. Allocates: for the client.
    package mutating func add(words: ArraySlice<UInt64>) {
        let bytes = words.map { $0.littleEndian }
        unsafe bytes.withUnsafeBytes { unsafe add($0) }
    }

    /// Adds eight little-endian words.
    mutating func add(_ words: InlineArray<8, UInt64>) {
        var bytes = words
        for index in 0..<8 { bytes[index] = words[index].littleEndian }
        unsafe withUnsafeBytes(of: bytes) { unsafe add($0) }
    }

    /// Adds the bytes of `text`.
    package mutating func add(_ text: StaticString) {
        unsafe add(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Adds `count` zero bytes.
    package mutating func add(zeros count: Int) {
        let zeros = InlineArray<64, UInt64>(repeating: 0)
        var left = count
        while left > 0 {
            unsafe withUnsafeBytes(of: zeros) { bytes in
                let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes.prefix(left))
                unsafe add(piece)
                left -= piece.count
            }
        }
    }

    /// Adds one byte.
    mutating func add(byte: UInt8) {
        unsafe withUnsafeBytes(of: byte) { unsafe add($0) }
    }

    /// The code of everything added.
    package consuming func end() -> Secret {
        var digest = InlineArray<4, UInt64>(repeating: 0)
        var last = state
        unsafe withUnsafeMutableBytes(of: &last) { state in
            unsafe withUnsafeBytes(of: outer) { outer in
                unsafe withUnsafeMutableBytes(of: &digest) { digest in
                    unsafe memkv_mac_end(
                        state.baseAddress!, outer.baseAddress!,
                        digest.baseAddress!.assumingMemoryBound(to: UInt8.self))
                }
            }
        }
        for index in 0..<4 { digest[index] = UInt64(littleEndian: digest[index]) }
        return Secret(words: digest)
    }
}
