// The name of a block: a namespace and 32 bytes, as it stands on the wire, in the journal and in a
// leaf.
//
// Always holds: comparison is by namespace, then by the 32 bytes in order; four words loaded
// big-endian make that one comparison a word. A SHA-256 fits as it is. Nothing here hashes a user's
// text: that rule is the client's (Docs/wire-protocol.md).

/// A namespace: keys of different namespaces never meet.
package struct Namespace: Hashable, Comparable, Sendable {
    package let rawValue: UInt32

    package init(_ rawValue: UInt32) { self.rawValue = rawValue }

    package static func < (left: Namespace, right: Namespace) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// A block's key: 32 bytes inside a namespace.
package struct BlockKey: Hashable, Comparable, Sendable {
    /// Bytes of a key without its namespace.
    package static let byteCount = 32

    package let namespace: Namespace
    /// The 32 bytes as four words, each loaded big-endian, so that words compare as the bytes do.
    package let word0, word1, word2, word3: UInt64

    package init(namespace: Namespace, words: (UInt64, UInt64, UInt64, UInt64)) {
        self.namespace = namespace
        (word0, word1, word2, word3) = words
    }

    /// The smallest key of all; the left edge of an index.
    package static let lowest = BlockKey(namespace: Namespace(0), words: (0, 0, 0, 0))

    package static func < (left: BlockKey, right: BlockKey) -> Bool {
        if left.namespace != right.namespace { return left.namespace < right.namespace }
        if left.word0 != right.word0 { return left.word0 < right.word0 }
        if left.word1 != right.word1 { return left.word1 < right.word1 }
        if left.word2 != right.word2 { return left.word2 < right.word2 }
        return left.word3 < right.word3
    }

    /// A 64-bit mix of the whole key under a seed, for tables, filters and placement. Every bit of
    /// the result depends on every bit of the key (finalizer of SplitMix64, Steele et al., OOPSLA
    /// 2014).
    package func mixed(seed: UInt64) -> UInt64 {
        var state = seed &+ UInt64(namespace.rawValue) &* 0x9E37_79B9_7F4A_7C15
        state = Self.finalize(state ^ word0)
        state = Self.finalize(state ^ word1)
        state = Self.finalize(state ^ word2)
        return Self.finalize(state ^ word3)
    }

    @inline(__always)
    package static func finalize(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// The 32 bytes as four little-endian words, the way a frame's body and a leaf's cell carry
    /// them.
    package var littleEndianWords: InlineArray<4, UInt64> {
        [word0.byteSwapped, word1.byteSwapped, word2.byteSwapped, word3.byteSwapped]
    }

    /// From four words loaded little-endian out of a frame's body or a leaf's cell.
    @inline(__always)
    package init(namespace: Namespace, littleEndianWords words: InlineArray<4, UInt64>) {
        self.init(
            namespace: namespace,
            words: (
                words[0].byteSwapped, words[1].byteSwapped, words[2].byteSwapped,
                words[3].byteSwapped
            ))
    }
}

extension BlockKey: CustomStringConvertible {
    /// The namespace, a slash and 64 hex digits.
    package var description: String {
        "\(namespace.rawValue)/" + hexadecimal
    }

    /// The 32 bytes as 64 lower-case hex digits.
    package var hexadecimal: String {
        func digits(_ word: UInt64) -> String {
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return digits(word0) + digits(word1) + digits(word2) + digits(word3)
    }

    /// From 64 hex digits, or nil when `text` is anything else.
    package init?(namespace: Namespace, hexadecimal text: String) {
        guard text.utf8.count == 64 else { return nil }
        var words: InlineArray<4, UInt64> = .init(repeating: 0)
        var position = 0
        for digit in text.utf8 {
            let value: UInt64
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"):
                value = UInt64(digit - UInt8(ascii: "a")) + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"):
                value = UInt64(digit - UInt8(ascii: "A")) + 10
            default: return nil
            }
            words[position / 16] = words[position / 16] << 4 | value
            position += 1
        }
        self.init(namespace: namespace, words: (words[0], words[1], words[2], words[3]))
    }
}
