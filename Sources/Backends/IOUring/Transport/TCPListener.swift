// The listening socket that a daemon's shards accept from together.

#if IOUring

internal import CIOURing
internal import Glibc
package import Ring

/// Why an address can't be listened on.
package enum ListenError: Error, Hashable, Sendable, CustomStringConvertible {
    case notAnAddress(String)
    case refused(address: String, port: UInt16, SystemError)

    package var description: String {
        switch self {
        case .notAnAddress(let address):
            "\(address) is not a numeric IPv4 or IPv6 address"
        case .refused(let address, let port, let error):
            "can't listen on \(address) port \(port): \(error)"
        }
    }
}

/// A listening socket. Open as long as any handle on it; every shard may accept from it.
package final class TCPListener: Sendable {
    let descriptor: Int32
    /// The port, the kernel's choice when 0 was asked for.
    package let port: UInt16

    private static let backlog: Int32 = 1024

    package init(address: String, port: UInt16) throws(ListenError) {
        let result = unsafe memkv_listen(address, port, Self.backlog)
        if result == -EINVAL { throw .notAnAddress(address) }
        guard result >= 0 else {
            throw .refused(address: address, port: port, SystemError(result))
        }
        descriptor = result
        self.port = UInt16(truncatingIfNeeded: memkv_bound_port(result))
    }

    deinit { close(descriptor) }
}

#endif
