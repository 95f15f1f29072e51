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
    /// Over a queue pair: one key; the server reads the value from the client's memory.
    case write = 0x10
    /// Over a queue pair: one key; the server writes the value into the client's memory.
    case read = 0x11
    /// Over a queue pair: batch of keys and values, each in memory of its own.
    case batchWrite = 0x12
    /// Over a queue pair: batch of keys, with memory for each one's value.
    case batchRead = 0x13
    /// Over a queue pair with leases: one key and a length; memory of the server's to write to.
    case allocate = 0x14
    /// Over a queue pair with leases: what was written is a value.
    case commit = 0x15
    /// Over a queue pair with leases: one key; memory of the server's to read its value from.
    case lookup = 0x16
    /// Over a queue pair with leases: memory is given back.
    case release = 0x17
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
    /// Over TCP: where a queue pair can be had, and the nonce for one.
    case rdmaOpen = 0x30
}

extension OperationCode {
    /// The operation of a stream that does the same to the store, for one whose values lie in the
    /// client's registered memory; nil for every other operation.
    package var withValuesInPayload: OperationCode? {
        switch self {
        case .write: .tcpPut
        case .read: .tcpGet
        case .batchWrite: .tcpBatchPut
        case .batchRead: .tcpBatchGet
        case .connect, .authenticate, .exists, .stat, .tcpPut, .tcpGet, .tcpDelete, .tcpBatchGet,
            .tcpBatchPut, .tcpBatchDelete, .rdmaOpen, .allocate, .commit, .lookup, .release:
            nil
        }
    }

    /// The inverse of `withValuesInPayload`; nil for operations without values.
    package var withValuesInRemoteMemory: OperationCode? {
        switch self {
        case .tcpPut: .write
        case .tcpGet: .read
        case .tcpBatchPut: .batchWrite
        case .tcpBatchGet: .batchRead
        case .connect, .authenticate, .exists, .stat, .write, .read, .batchWrite, .batchRead,
            .tcpDelete, .tcpBatchDelete, .rdmaOpen, .allocate, .commit, .lookup, .release:
            nil
        }
    }
}
