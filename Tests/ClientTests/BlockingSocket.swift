// Blocking sockets for the reference server: listen, accept, read whole pieces, write whole pieces.

import Glibc

/// A descriptor that tests read and write in whole pieces. Its owner closes it once.
struct BlockingSocket: Sendable {
    let descriptor: Int32

    /// Listens on 127.0.0.1; nil when the port is taken.
    static func listening(port: UInt16) -> (socket: BlockingSocket, port: UInt16)? {
        let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var on: Int32 = 1
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                unsafe bind(descriptor, generic, length) == 0 && listen(descriptor, 64) == 0
                    && getsockname(descriptor, generic, &length) == 0
            }
        }
        guard bound else {
            Glibc.close(descriptor)
            return nil
        }
        return (BlockingSocket(descriptor: descriptor), UInt16(bigEndian: address.sin_port))
    }

    func accepted() -> BlockingSocket? {
        let client = accept(descriptor, nil, nil)
        return client < 0 ? nil : BlockingSocket(descriptor: client)
    }

    /// Exactly `count` bytes, or nil when the peer closed before.
    func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let moved = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe recv(descriptor, buffer.baseAddress! + done, count - done, 0)
            }
            guard moved > 0 else { return nil }
            done += moved
        }
        return bytes
    }

    /// False when the peer is gone.
    @discardableResult
    func write(_ bytes: [UInt8]) -> Bool {
        var done = 0
        while done < bytes.count {
            let moved = unsafe bytes.withUnsafeBytes { buffer in
                unsafe send(
                    descriptor, buffer.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
            }
            guard moved > 0 else { return false }
            done += moved
        }
        return true
    }

    /// Ends both directions; a thread that waits in `read` or `accepted` wakes.
    func shutDown() { Glibc.shutdown(descriptor, Int32(SHUT_RDWR)) }

    func close() { Glibc.close(descriptor) }
}
