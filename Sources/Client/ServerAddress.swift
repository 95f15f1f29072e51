// ServerAddress: where a server listens, as a user writes it.
//
// Always holds: the host is not empty and the port lies between 1 and 65535. Refuses anything else
// with a sentence that names the text.

/// A host and a port.
package struct ServerAddress: Hashable, Sendable, CustomStringConvertible {
    /// The data port by convention; the admin endpoint is one above a server's data port.
    package static let defaultPort: UInt16 = 9900

    package let host: String
    package let port: UInt16

    package init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// From `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`.
    package init(parsing text: String) throws(AddressError) {
        var host = Substring(text)
        var portText: Substring?
        if host.first == "[" {
            guard let end = host.firstIndex(of: "]") else { throw AddressError(text: text) }
            let rest = host[host.index(after: end)...]
            guard rest.isEmpty || rest.first == ":" else { throw AddressError(text: text) }
            portText = rest.isEmpty ? nil : rest.dropFirst()
            host = host[host.index(after: host.startIndex)..<end]
        } else if let colon = host.lastIndex(of: ":") {
            portText = host[host.index(after: colon)...]
            host = host[..<colon]
            guard !host.contains(":") else { throw AddressError(text: text) }
        }
        guard !host.isEmpty, !host.contains(where: \.isWhitespace) else {
            throw AddressError(text: text)
        }
        var port = Self.defaultPort
        if let portText {
            guard let number = UInt16(portText), number > 0 else { throw AddressError(text: text) }
            port = number
        }
        self.init(host: String(host), port: port)
    }

    /// The admin endpoint of the same server, or nil when there is no port above the data port.
    package var admin: ServerAddress? {
        port == .max ? nil : ServerAddress(host: host, port: port + 1)
    }

    package var description: String {
        host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

/// A text that is no server's address.
package struct AddressError: Error, Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package var description: String {
        "'\(text)' is not a server's address; write HOST:PORT, "
            + "for example 127.0.0.1:9900 or [::1]:9900"
    }
}
