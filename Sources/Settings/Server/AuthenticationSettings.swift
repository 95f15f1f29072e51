// AuthenticationSettings: who may use the data port.
//
// Always holds: a key occurs once; an address that others can reach has a key, unless the operator
// said that it is meant to be open. Refuses everything else, without repeating a key's digits: they
// would end in a log.

internal import Schema
package import Wire

/// The keys of the data port, checked.
package struct AuthenticationSettings: Sendable {
    /// Empty: anybody who reaches the port may use it.
    package let keys: [ScopedKey]
    /// Every payload of a session with a key carries a tag of its own.
    package let tagsPayloads: Bool

    /// Most keys of a server: each greeting is compared with all of them.
    static let keyLimit = 256

    init(
        _ invocation: ServerInvocation, _ document: ServerDocument, listen: ListenAddress,
        address: Setting<String>?
    ) throws(ConfigurationError) {
        let given =
            if let key = invocation.authenticationKey {
                [ServerDocument.Key(key: key, namespaces: nil)]
            } else {
                document.keys
            }
        var keys: [ScopedKey] = []
        for entry in given {
            let key = try Self.key(entry)
            if keys.contains(where: { $0.key.identifier == key.key.identifier }) {
                throw entry.key.refused("this key is given twice; keep one of them")
            }
            if keys.count == Self.keyLimit {
                throw entry.key.refused("more than \(Self.keyLimit) keys; remove some")
            }
            keys.append(key)
        }
        self.keys = keys
        tagsPayloads = document.tagsPayloads?.value ?? false
        if let setting = document.tagsPayloads, setting.value, keys.isEmpty {
            throw setting.refused("needs a key: add network.auth_keys, or remove this")
        }
        guard listen.isLoopback || !keys.isEmpty || document.isInsecure?.value == true else {
            let problem =
                "\(listen.host) can be reached by others and there is no key: add "
                + "network.auth_keys, or network.insecure: true to let anybody in, "
                + "or use 127.0.0.1:\(listen.port)"
            throw address?.refused(problem)
                ?? ConfigurationError(origin: .standard, key: "network.address", problem: problem)
        }
    }

    private static func key(_ entry: ServerDocument.Key) throws(ConfigurationError) -> ScopedKey {
        guard let key = AuthenticationKey(hexadecimal: entry.key.value) else {
            throw entry.key.refused(
                "a key is 64 hexadecimal digits, this has \(entry.key.value.count) characters; "
                    + "`openssl rand -hex 32` makes one")
        }
        guard let texts = entry.namespaces else { return ScopedKey(key: key, namespaces: nil) }
        var namespaces: [Namespace] = []
        for text in texts {
            guard let number = UInt32(text.value) else {
                throw text.refused(
                    "\"\(text.value)\" is not a namespace; a namespace is a whole number from 0 to "
                        + "4294967295")
            }
            namespaces.append(Namespace(number))
        }
        return ScopedKey(key: key, namespaces: namespaces)
    }
}
