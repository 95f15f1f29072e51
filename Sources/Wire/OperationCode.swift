// Every operation a frame can ask for, in one table. Codes already known to users of such stores
// are kept (Connect, TcpPut, TcpGet, TcpDelete); a code that this build doesn't serve is answered,
// never guessed.

/// An operation's code, as it stands in byte 6 of a frame's header.
package enum OperationCode: UInt8, Sendable, CaseIterable {
    /// First frame of every session; agrees on the version and the limits.
    case connect = 0x06
    /// Second frame of a session with a key: the client's proof.
    case authenticate = 0x07
    /// Batch of keys: a status each.
    case exists = 0x08
    /// One key: length, checksum and version.
    case stat = 0x0B
    /// One key, its value as payload.
    case tcpPut = 0x20
    /// One key; the value comes back as payload.
    case tcpGet = 0x21
    /// One key.
    case tcpDelete = 0x22
    /// Batch of keys; the values that are there come back as one payload.
    case tcpBatchGet = 0x23
    /// Batch of keys and values: the values as one payload.
    case tcpBatchPut = 0x24
    /// Batch of keys: a status each.
    case tcpBatchDelete = 0x25
}
