// ListenAddress: where memkvd takes data connections, "127.0.0.1:9900".
//
// Always holds: the port leaves room for the admin endpoint's, one higher. Whether an address that
// isn't a loopback one may be used, follows from the keys (AuthenticationSettings.swift).

package import Schema

/// An IPv4 address and a port.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// The four parts, in the order in which they are written.
    package let octets: [UInt8]
    /// The data port, 1 to 65534.
    package let port: UInt16

    /// 127.0.0.1:9900.
    package static let standard = ListenAddress(octets: [127, 0, 0, 1], port: 9900)

    private init(octets: [UInt8], port: UInt16) {
        self.octets = octets
        self.port = port
    }

    /// Reads HOST:PORT.
    package init(_ setting: Setting<String>) throws(ConfigurationError) {
        let text = setting.value
        guard let colon = text.lastIndex(of: ":") else {
            throw setting.refused(
                "\"\(text)\" has no port; write HOST:PORT, such as 127.0.0.1:9900")
        }
        let host = String(text[..<colon])
        guard let port = UInt16(text[text.index(after: colon)...]), (1...65534).contains(port)
        else {
            throw setting.refused(
                "the port in \"\(text)\" must be a number from 1 to 65534 "
                    + "(the admin endpoint takes the next one)")
        }
        if host.hasPrefix("[") {
            throw setting.refused("IPv6 is not built in this version; use 127.0.0.1:\(port)")
        }
        guard let octets = Self.octets(host) else {
            throw setting.refused("\"\(host)\" is not an IPv4 address; use 127.0.0.1:\(port)")
        }
        self.init(octets: octets, port: port)
    }

    private static func octets(_ host: String) -> [UInt8]? {
        if host == "localhost" { return [127, 0, 0, 1] }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        let octets = parts.compactMap { $0.allSatisfy(\.isNumber) ? UInt8($0) : nil }
        return parts.count == 4 && octets.count == 4 ? octets : nil
    }

    /// True when only this machine can reach it.
    package var isLoopback: Bool { octets[0] == 127 }

    /// The address alone.
    package var host: String { octets.map(String.init).joined(separator: ".") }
    /// The admin endpoint's port.
    package var adminPort: UInt16 { port + 1 }
    package var adminAddress: String { "\(host):\(adminPort)" }
    package var description: String { "\(host):\(port)" }
}
