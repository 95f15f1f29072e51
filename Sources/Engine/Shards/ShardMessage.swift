// What one shard asks of another, and what it hears: a request for one key, and its reply.
//
// Always holds: a request is answered once, whatever becomes of its deadline; memory that goes with
// a request stays its sender's until the reply; memory that goes with a reply is the receiver's.

import Wire

/// A shard's place among its daemon's.
package struct ShardIndex: Hashable, Sendable {
    package let rawValue: UInt8
    package init(_ rawValue: UInt8) { self.rawValue = rawValue }
}

/// What to do about a key, for another shard's operation.
struct PeerRequest: Sendable {
    enum Kind: Sendable {
        case put, get, remove, lookup
        /// Removes the key's entry if it is older, because a newer one is elsewhere.
        case removeOlder(than: Version)

        var operationKind: OperationKind {
            switch self {
            case .put: .put
            case .get: .get
            case .remove, .removeOlder: .remove
            case .lookup: .peerLookup
            }
        }
    }

    var kind: Kind
    /// Who is told, and which of its items this is.
    var operation: OperationIndex
    var item: UInt32
    var key: BlockKey
    /// The key's drive, in the receiver's order.
    var drive: DriveIndex
    var deadline: Instant
    var arrival: Instant
    /// What is put, or what a planned get is to find.
    var lengthBytes: UInt32 = 0
    var checksum: UInt64 = 0
    /// Where a put's payload is, or a planned get's goes; nil for a get that brings memory of its
    /// own.
    var payload: SlabChain?
    var payloadOffset: UInt64 = 0
    /// An older entry of what is put is on the key's second drive.
    var replacesStray = false
    /// What the version of what is put must not be below.
    var versionFloor = Version(0)
    /// The longest value that a get with memory of its own may bring.
    var admittedBytes: UInt64 = 0
}

/// The end of a `PeerRequest`.
struct PeerReply: Sendable {
    var operation: OperationIndex
    var item: UInt32
    var status: Status
    /// What the key holds, after a put, or after a get or a lookup that found it. Without a
    /// payload, a get found more than it was admitted to bring.
    var lengthBytes: UInt32 = 0
    var checksum: UInt64 = 0
    var version = Version(0)
    /// A put that was turned away may go to the key's second drive, with this version or a higher
    /// one.
    var elsewhere: Version?
    /// The slabs that a get read into, handed over.
    var payload: SlabChain?
}
