// The rule by which a user's text becomes a block's key, the same for every process and language
// (Docs/wire-protocol.md). 64 hex digits are the 32 bytes themselves, whatever their case; any
// other text is hashed under a prefix, so that no text can be made to collide with a block's own
// SHA-256.
//
// Always holds: the same text gives the same key, for ever. Nothing is refused: the empty text is a
// text.

package import Wire

/// From what a user types to a key.
package enum KeyRule {
    /// Stands before the text that is hashed; the zero byte ends it.
    package static let prefix = "memkv-key-v1\0"

    /// The key that `text` names inside `namespace`.
    package static func key(_ text: String, namespace: Namespace) -> BlockKey {
        if let literal = BlockKey(namespace: namespace, hexadecimal: text) { return literal }
        return BlockKey.sha256(of: Array((prefix + text).utf8), namespace: namespace)
    }
}
