// SocketAddress: one address of a host, as the kernel takes it, and where those come from.
//
// Always holds: an address in digits is resolved without asking anybody, so without waiting; a name
// may take the resolver's time. One of the files that may say `unsafe`.

private import Glibc

/// A family and the bytes of its sockaddr.
struct SocketAddress: Sendable {
    let family: Int32
    let bytes: [UInt8]

    /// The addresses of a server's host, in the system's order; never none.
    static func resolve(_ server: ServerAddress) throws(ConnectError) -> [SocketAddress] {
        try lookUp(server, flags: 0)
    }

    /// The address, if the host is one in digits; nil when it is a name.
    static func literal(_ server: ServerAddress) -> [SocketAddress]? {
        try? lookUp(server, flags: AI_NUMERICHOST)
    }

    private static func lookUp(
        _ server: ServerAddress, flags: Int32
    ) throws(ConnectError) -> [SocketAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = flags
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(server.host, String(server.port), &hints, &list)
        guard code == 0 else { throw .unknownHost(unsafe String(cString: gai_strerror(code))) }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = unsafe list
        while let address = unsafe next {
            let bytes = unsafe UnsafeRawBufferPointer(
                start: address.pointee.ai_addr, count: Int(address.pointee.ai_addrlen))
            addresses.append(
                SocketAddress(
                    family: unsafe address.pointee.ai_family, bytes: unsafe [UInt8](bytes)))
            unsafe next = address.pointee.ai_next
        }
        guard !addresses.isEmpty else { throw .unknownHost("it has no address") }
        return addresses
    }
}
