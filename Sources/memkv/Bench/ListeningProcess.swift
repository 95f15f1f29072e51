// ListeningProcess: the process of this machine that listens at an address, found through /proc.
//
// Always holds: a process that is found is the one that a connection to the address reaches. For a
// loopback address that is whoever listens on it or on every address; for any other only who
// listens on exactly that one, since the same port may be open on another machine.

import Client
import Foundation

enum ListeningProcess {
    static func find(_ server: ServerAddress) -> Measured<Int32> {
        let host = server.host == "localhost" ? "127.0.0.1" : server.host
        guard let wanted = KernelAddress.hosts(thatReach: host) else {
            return .notMeasured(
                "\(server) may be on another machine; give its address in digits if it is this one"
            )
        }
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].compactMap(KernelFile.text)
        guard !tables.isEmpty else { return .notMeasured("/proc/net/tcp can't be read") }
        let sockets = tables.flatMap {
            listeningSockets(inTable: $0, hosts: wanted, port: server.port)
        }
        guard !sockets.isEmpty else {
            return .notMeasured("nobody on this machine listens on \(server)")
        }
        guard let process = owner(of: sockets) else {
            return .notMeasured("the process that listens on \(server) is another user's")
        }
        return .value(process)
    }

    /// The names, as links of descriptors show them, of a table's sockets that listen there.
    static func listeningSockets(
        inTable table: String, hosts: Set<String>, port: UInt16
    ) -> [String] {
        table.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 9, fields[3] == "0A" else { return nil }
            let place = fields[1].split(separator: ":")
            guard place.count == 2, hosts.contains(String(place[0])),
                UInt16(place[1], radix: 16) == port
            else { return nil }
            return "socket:[\(fields[9])]"
        }
    }

    private static func owner(of sockets: [String]) -> Int32? {
        let wanted = Set(sockets)
        for process in KernelFile.names(in: "/proc").compactMap({ Int32($0) }) {
            let folder = "/proc/\(process)/fd"
            for descriptor in KernelFile.names(in: folder) {
                if let target = KernelFile.target("\(folder)/\(descriptor)"),
                    wanted.contains(target)
                {
                    return process
                }
            }
        }
        return nil
    }
}

/// IPv4 addresses as /proc/net/tcp shows them: the four bytes as one little-endian number, in hex.
enum KernelAddress {
    private static let everyHost: Set<String> = [
        "00000000", String(repeating: "0", count: 32),
    ]
    private static let ipv6Loopback = "00000000000000000000000001000000"

    /// Listeners that a connection to `host` may reach; nil when it isn't one in digits.
    static func hosts(thatReach host: String) -> Set<String>? {
        if host == "::1" { return everyHost.union([ipv6Loopback]) }
        let bytes = host.split(separator: ".", omittingEmptySubsequences: false).map {
            UInt8($0)
        }
        guard bytes.count == 4, bytes.allSatisfy({ $0 != nil }) else { return nil }
        let digits = bytes.compactMap { $0 }.reversed().map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }.joined()
        return bytes[0] == 127 ? everyHost.union([digits]) : [digits]
    }
}
