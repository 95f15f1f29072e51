// What a caller asks for and how it ends. The session knows these, never the bytes behind them.

package import Wire

/// Names a submitted request until its outcome; it is the request id on the wire.
package struct RequestTag: Hashable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// A value to store under a key.
package struct PutItem: Sendable {
    package var key: BlockKey
    package var value: SourceBytes

    package init(key: BlockKey, value: SourceBytes) {
        self.key = key
        self.value = value
    }
}

/// A key to fetch and the memory its value goes to.
package struct GetItem: Sendable {
    package var key: BlockKey
    package var destination: DestinationBytes

    package init(key: BlockKey, destination: DestinationBytes) {
        self.key = key
        self.destination = destination
    }
}

/// Where a value lies, or goes.
package enum ValueMemory: Sendable {
    case source(SourceBytes)
    case destination(DestinationBytes)
}

/// One request. Its memory belongs to the caller and is used until the request's outcome is
/// returned.
package enum ClientRequest: Sendable {
    case put(PutItem)
    case get(GetItem)
    case delete(BlockKey)
    case stat(BlockKey)
    case exists([BlockKey])
    case putBatch([PutItem])
    case getBatch([GetItem])
    case deleteBatch([BlockKey])

    /// Whether the store may differ after it.
    package var changesStore: Bool {
        switch self {
        case .put, .delete, .putBatch, .deleteBatch: true
        case .get, .stat, .exists, .getBatch: false
        }
    }

    var operation: OperationCode {
        switch self {
        case .put: .tcpPut
        case .get: .tcpGet
        case .delete: .tcpDelete
        case .stat: .stat
        case .exists: .exists
        case .putBatch: .tcpBatchPut
        case .getBatch: .tcpBatchGet
        case .deleteBatch: .tcpBatchDelete
        }
    }

    /// Of its items, in order.
    package var keys: [BlockKey] {
        switch self {
        case .put(let item): [item.key]
        case .get(let item): [item.key]
        case .delete(let key), .stat(let key): [key]
        case .exists(let keys), .deleteBatch(let keys): keys
        case .putBatch(let items): items.map(\.key)
        case .getBatch(let items): items.map(\.key)
        }
    }

    /// The values that leave with the request.
    var values: [SourceBytes] {
        switch self {
        case .put(let item): [item.value]
        case .putBatch(let items): items.map(\.value)
        default: []
        }
    }

    /// The memory that each item's value lies in or goes to; none for requests without values.
    package var valueMemory: [ValueMemory] {
        switch self {
        case .put(let item): [.source(item.value)]
        case .get(let item): [.destination(item.destination)]
        case .putBatch(let items): items.map { .source($0.value) }
        case .getBatch(let items): items.map { .destination($0.destination) }
        case .delete, .stat, .exists, .deleteBatch: []
        }
    }

    /// Whether values arrive in the request's memory.
    var fillsMemory: Bool {
        switch self {
        case .get, .getBatch: true
        default: false
        }
    }

    /// Items of a batch; nil for a request of one key.
    var batchCount: Int? {
        switch self {
        case .exists(let keys), .deleteBatch(let keys): keys.count
        case .putBatch(let items): items.count
        case .getBatch(let items): items.count
        default: nil
        }
    }
}

/// How a request, or one item of a batch, ended.
package enum OutcomeStatus: Hashable, Sendable {
    /// The server's answer, or the client's own: `deadlineExceeded`, `outcomeUnknown`,
    /// `checksumMismatch`.
    case ended(Status)
    /// The value is longer than the memory given for it, which is untouched.
    case bufferTooSmall(neededBytes: UInt32)
    /// The connection broke and the store wasn't changed by this request: it may be sent again.
    case connectionLost
    /// The key's server can't be reached, and the store wasn't changed. Only from a client of
    /// several connections, which tries again by itself.
    case serverUnavailable

    package static let ok = OutcomeStatus.ended(.ok)
}

/// What `stat` tells about a block.
package struct BlockFacts: Hashable, Sendable {
    package var lengthBytes: UInt32
    /// XXH3-64 of the value.
    package var checksum: UInt64
    /// Grows with every overwrite.
    package var version: UInt64

    package init(lengthBytes: UInt32, checksum: UInt64, version: UInt64) {
        self.lengthBytes = lengthBytes
        self.checksum = checksum
        self.version = version
    }
}

/// One item of a batch.
package struct ItemOutcome: Hashable, Sendable {
    package var status: OutcomeStatus
    /// Bytes at the start of the item's memory; 0 unless it was fetched.
    package var valueBytes: UInt32

    package init(status: OutcomeStatus, valueBytes: UInt32 = 0) {
        self.status = status
        self.valueBytes = valueBytes
    }
}

/// The end of one request.
package struct RequestOutcome: Hashable, Sendable {
    package var tag: RequestTag
    package var status: OutcomeStatus
    /// Bytes at the start of a get's memory.
    package var valueBytes: UInt32 = 0
    package var facts: BlockFacts?
    /// One for each item of a batch, in the request's order, however the request ended.
    package var items: [ItemOutcome] = []

    package init(tag: RequestTag, status: OutcomeStatus) {
        self.tag = tag
        self.status = status
    }
}

/// Why a request was not taken at all.
package enum SubmitError: Error, Hashable, Sendable {
    /// As many requests are outstanding as the server allows; take an outcome first.
    case windowFull
    /// The connection is broken, or not yet made.
    case notConnected
    case emptyValue
    case valueTooLarge(lengthBytes: Int, limitBytes: UInt32)
    case emptyBatch
    case batchTooLarge(count: Int, limit: UInt32)
    case payloadTooLarge(lengthBytes: UInt64, limitBytes: UInt32)
    /// A batch's keys must share one namespace.
    case mixedNamespaces
    /// As many requests are under way as the client has places for.
    case tooManyRequests(limit: Int)
    case clientClosed
}

extension SubmitError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .windowFull: "as many requests are outstanding as the server allows"
        case .notConnected: "the connection is not open"
        case .emptyValue: "a value has at least one byte"
        case .valueTooLarge(let length, let limit):
            "the value has \(length) bytes, the server takes at most \(limit)"
        case .emptyBatch: "a batch has at least one item"
        case .batchTooLarge(let count, let limit):
            "the batch has \(count) items, the server takes at most \(limit)"
        case .payloadTooLarge(let length, let limit):
            "the batch's values take \(length) bytes, the server takes at most \(limit)"
        case .mixedNamespaces: "the keys of one batch must lie in one namespace"
        case .tooManyRequests(let limit): "\(limit) requests are under way, the client's limit"
        case .clientClosed: "the client was closed"
        }
    }
}
