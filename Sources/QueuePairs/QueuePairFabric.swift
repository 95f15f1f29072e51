// QueuePairFabric: the port through which a shard's RDMATransport makes, uses and ends queue pairs.
// Network cards are one fabric, a simulated world is another.
//
// What a fabric promises
//  - Nothing here waits. What may take long (a queue pair's end, an exposure, a revocation) is
//    asked for and comes back as news, in the order in which it was asked for.
//  - News of a queue pair is there before any completion of it, and behind the news of its device.
//  - A device may use the memory of work from its posting until its completion, or that of later
//    work of the same queue pair, or the queue pair's end; and the memory of a lease is reached by
//    its client from the exposure until the news that it is revoked, or of its queue pair's end.
//  - After the news of a queue pair's end its work may be missing from the completions.

package import Engine
package import Wire

/// Where a queue pair has its place.
package struct QueuePairPlace: Hashable, Sendable {
    package let shard: Int
    package let slot: Int
    package let generation: UInt32

    package init(shard: Int, slot: Int, generation: UInt32) {
        self.shard = shard
        self.slot = slot
        self.generation = generation
    }
}

/// Names a lease between a shard and whoever exposes its memory.
package struct LeasePlace: Hashable, Sendable {
    package let queuePair: QueuePairPlace
    /// In the shard's table.
    package let index: Int
}

/// What a lease's client may do with its memory.
package enum LeaseAccess: Hashable, Sendable { case read, write }

/// What has become of a lease's memory. Unless `isOver`, somebody may still reach it.
package enum LeaseOutcome: Hashable, Sendable {
    case exposed([RemoteSegment])
    case refused(isOver: Bool)
    case revoked(isOver: Bool)
}

/// A queue pair whose client has come: all its receives are posted.
package struct NewQueuePair: Sendable {
    /// Its device's place among the fabric's.
    package let device: Int
    /// Names the memory of its messages to the device.
    package let localKey: UInt32
    /// Its client moves its values by itself.
    package let isForLeases: Bool
    package let keys: QueuePairKeys
    package let isSigned: Bool

    package init(
        device: Int, localKey: UInt32, isForLeases: Bool, keys: QueuePairKeys, isSigned: Bool
    ) {
        self.device = device
        self.localKey = localKey
        self.isForLeases = isForLeases
        self.keys = keys
        self.isSigned = isSigned
    }
}

/// What a shard is told.
package enum QueuePairNews: Sendable {
    /// A client has come: requests may come.
    case connected(QueuePairPlace, NewQueuePair)
    /// A client has come, and its queue pair couldn't be made.
    case failed(QueuePairPlace)
    /// The connection is lost.
    case lost(QueuePairPlace)
    /// The queue pair is destroyed.
    case ended(QueuePairPlace)
    /// What became of a request about a lease of the queue pair.
    case lease(LeasePlace, LeaseOutcome)
    /// A device is there.
    case came(device: Int)
    /// A device is to be taken out: to be released.
    case leaves(device: Int)

    /// Of what concerns one queue pair.
    var place: QueuePairPlace? {
        switch self {
        case .connected(let place, _), .failed(let place), .lost(let place), .ended(let place):
            place
        case .lease(let lease, _): lease.queuePair
        case .came, .leaves: nil
        }
    }
}

/// What a shard asks for.
package enum QueuePairRequest: Sendable {
    /// To destroy a queue pair.
    case end(QueuePairPlace)
    /// To let a queue pair's client reach memory.
    case expose(LeasePlace, [ArenaRange], LeaseAccess)
    /// To take that back.
    case revoke(LeasePlace)
    /// The shard holds nothing of the device any more.
    case released(device: Int)
}

/// A piece of work for a queue pair: a message, or a transfer from or to the client's memory.
package struct QueuePairWork: Sendable {
    package enum Kind: Hashable, Sendable { case send, read, write }
    /// Most pieces of one post.
    package static let postLimit = 16

    package var kind: Kind
    package var workID: UInt64
    /// Completes also when it succeeds.
    package var isSignalled = false
    /// Where this end's bytes lie; registered under `localKey`.
    package var local: ArenaRange
    package var localKey: UInt32
    /// The client's memory; nothing for a message.
    package var remoteAddress: UInt64 = 0
    package var remoteKey: UInt32 = 0
}

/// The end of a piece of work.
package struct QueuePairCompletion: Hashable, Sendable {
    package let workID: UInt64
    package let isSuccess: Bool
    /// The queue pair had failed or was closed before this work's turn came.
    package let isFlushed: Bool
    /// Bytes of the message, for a receive that succeeded.
    package let receivedBytes: Int?

    package init(workID: UInt64, isSuccess: Bool, isFlushed: Bool, receivedBytes: Int?) {
        self.workID = workID
        self.isSuccess = isSuccess
        self.isFlushed = isFlushed
        self.receivedBytes = receivedBytes
    }
}

/// A device refused what it was asked for.
package struct QueuePairFailure: Error, Hashable, Sendable {
    package init() {}
}

/// One shard's way to devices. Confined to its thread.
package protocol QueuePairFabric: AnyObject {
    var configuration: RDMAConfiguration { get }
    /// What values on their way in have of the slabs, all shards together.
    var inbound: InboundShare { get }
    /// Devices that there are or may be.
    var deviceCount: Int { get }
    /// What keeps RDMA from being whole; nil when nothing does.
    var problem: String? { get }
    /// Where clients may connect to; no address while no device can be reached.
    var port: UInt16 { get }
    var addresses: [DeviceAddress] { get }
    var now: Instant { get }

    func count(_ amount: UInt64, as counter: RDMACounter)

    /// Offers a queue pair: its name, and the nonce that opens it once, until `expires`.
    func open(
        _ place: QueuePairPlace, secret: Secret?, expires: Instant
    ) -> (offer: UInt64, nonce: QueuePairNonce)
    /// Takes an offer back; false when a client has taken it.
    func withdraw(_ offer: UInt64) -> Bool

    /// All news since the last time.
    func takeNews() -> [QueuePairNews]
    func ask(_ request: QueuePairRequest)

    /// The shard waits for the completions of a device from now on.
    func use(device: Int) throws(QueuePairFailure)
    func forget(device: Int)
    /// Hands over some completions of a device; how many there were.
    func poll(
        device: Int, _ take: (QueuePairCompletion) -> Void
    ) throws(QueuePairFailure) -> Int
    /// Has the next completion of a device wake the shard.
    func arm(device: Int) throws(QueuePairFailure)

    /// Posts the first `count` of `work` to the queue pair in `slot`.
    func post(
        _ work: borrowing InlineArray<16, QueuePairWork>, count: Int, slot: Int
    ) throws(QueuePairFailure)
    /// Has the next message received at `memory`.
    func postReceive(
        into memory: ArenaRange, localKey: UInt32, workID: UInt64, slot: Int
    ) throws(QueuePairFailure)
}
