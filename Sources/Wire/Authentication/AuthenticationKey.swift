// AuthenticationKey: the 32 bytes that a client and a server share, the name by which a frame
// mentions them, and the namespaces that they open.
//
// Always holds: a key is never shown, only its identifier, which tells nothing about it.
// Refuses: text that isn't exactly 64 hexadecimal digits.

/// A key's public name: 8 bytes that follow from the key and don't lead back to it.
package struct KeyIdentifier: Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt64

    package init(_ rawValue: UInt64) { self.rawValue = rawValue }

    /// The 8 bytes as 16 hex digits, in the order in which they stand on the wire.
    package var description: String {
        let text = String(rawValue.byteSwapped, radix: 16)
        return String(repeating: "0", count: 16 - text.count) + text
    }
}

/// A shared key.
package struct AuthenticationKey: Sendable {
    package let secret: Secret
    package let identifier: KeyIdentifier

    package init(_ secret: Secret) {
        self.secret = secret
        let code = KeyDerivation.expand(secret, "memkv-auth-v1 key id")
        identifier = KeyIdentifier(code.words[0])
    }

    /// From 64 hex digits, or nil when `text` is anything else.
    package init?(hexadecimal text: String) {
        guard let bytes = BlockKey(namespace: Namespace(0), hexadecimal: text) else { return nil }
        self.init(Secret(words: bytes.littleEndianWords))
    }
}

extension AuthenticationKey: Equatable {
    package static func == (left: AuthenticationKey, right: AuthenticationKey) -> Bool {
        left.secret.matches(right.secret)
    }
}

extension AuthenticationKey: CustomStringConvertible {
    /// The identifier: the key itself belongs into no log.
    package var description: String { "key \(identifier)" }
}

/// A key that a server knows.
package struct ScopedKey: Equatable, Sendable {
    package let key: AuthenticationKey
    /// The namespaces it opens; nil for all of them.
    package let namespaces: [Namespace]?

    package init(key: AuthenticationKey, namespaces: [Namespace]?) {
        self.key = key
        self.namespaces = namespaces
    }

    /// Whether sessions of this key may use `namespace`.
    package func opens(_ namespace: Namespace) -> Bool {
        guard let namespaces else { return true }
        for allowed in namespaces where allowed == namespace { return true }
        return false
    }
}
