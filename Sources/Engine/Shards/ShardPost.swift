// ShardPost: everything that the shards of one daemon share, apart from the slabs: a mailbox for
// requests and one for replies in each direction between any two, the roster, the drives' board,
// and who sleeps.
//
// Always holds: a shard has at most `requestLimit` requests with another one, from sending to the
// reply's receipt, so no mailbox can overflow, and none is ever waited for. Replies have boxes of
// their own, which are always emptied: requests that wait don't hold them up, so two full shards
// can't wait for each other.

private import Synchronization

/// The post of a daemon. Lives as long as its shards.
package final class ShardPost: Sendable {
    package let shardCount: Int
    /// Requests that one shard may have with another one.
    package let requestLimit: Int
    let roster: Roster
    let board: DriveBoard
    /// From shard `a` to shard `b`: at place `a × shardCount + b`. None to itself.
    private let requests: [Mailbox<PeerRequest>]
    private let replies: [Mailbox<PeerReply>]
    private let sleepers: Sleepers

    /// Most shards of a daemon: mailboxes grow with their square.
    package static let shardLimit = 16

    /// A post for `shardCount` shards that have `driveCount` drives together.
    package init(shardCount: Int, driveCount: Int, requestLimit: Int = 256) {
        precondition((1...Self.shardLimit).contains(shardCount), "\(shardCount) shards")
        self.shardCount = shardCount
        self.requestLimit = requestLimit
        roster = Roster(driveCount: driveCount)
        board = DriveBoard(driveCount: driveCount)
        sleepers = Sleepers()
        let pairs = shardCount == 1 ? 0 : shardCount * shardCount
        requests = (0..<pairs).map { pair in
            Mailbox(capacity: pair / shardCount == pair % shardCount ? 0 : requestLimit)
        }
        replies = (0..<pairs).map { pair in
            Mailbox(capacity: pair / shardCount == pair % shardCount ? 0 : requestLimit)
        }
    }

    func requests(from sender: ShardIndex, to receiver: ShardIndex) -> Mailbox<PeerRequest> {
        requests[place(sender, receiver)]
    }

    func replies(from sender: ShardIndex, to receiver: ShardIndex) -> Mailbox<PeerReply> {
        replies[place(sender, receiver)]
    }

    private func place(_ sender: ShardIndex, _ receiver: ShardIndex) -> Int {
        precondition(sender != receiver, "shard \(sender.rawValue) writes to itself")
        return Int(sender.rawValue) * shardCount + Int(receiver.rawValue)
    }

    // MARK: Sleeping

    /// `shard` is about to wait. To be followed by a look at its engine's `hasNews`: what is sent
    /// later finds it asleep and wakes it.
    package func willSleep(_ shard: ShardIndex) { sleepers.set(shard, true) }

    package func isAwake(_ shard: ShardIndex) { sleepers.set(shard, false) }

    /// Whether `shard` must be woken to see what was sent to it before this call.
    package func mustBeWoken(_ shard: ShardIndex) -> Bool { sleepers.isSleeping(shard) }
}

/// Which shards wait. Sequentially consistent on both sides, so that of a sender that looks and a
/// shard that falls asleep one notices the other (Dekker's argument).
private final class Sleepers: Sendable {
    private let mask = Atomic<UInt64>(0)

    func set(_ shard: ShardIndex, _ sleeps: Bool) {
        let bit = UInt64(1) << UInt64(shard.rawValue)
        if sleeps {
            mask.bitwiseOr(bit, ordering: .sequentiallyConsistent)
        } else {
            mask.bitwiseAnd(~bit, ordering: .sequentiallyConsistent)
        }
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    func isSleeping(_ shard: ShardIndex) -> Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let sleeping = mask.load(ordering: .sequentiallyConsistent)
        return sleeping & (UInt64(1) << UInt64(shard.rawValue)) != 0
    }
}

/// Where an engine stands among the shards of its daemon.
package struct ShardPlace: Sendable {
    package let shard: ShardIndex
    package let post: ShardPost
    /// The number of each of the engine's drives among all of the daemon's.
    package let driveNumbers: [DriveNumber]

    package init(shard: ShardIndex, post: ShardPost, driveNumbers: [DriveNumber]) {
        precondition(Int(shard.rawValue) < post.shardCount, "a shard without a post")
        self.shard = shard
        self.post = post
        self.driveNumbers = driveNumbers
    }

    /// The only shard of its daemon, which has all drives.
    package static func alone(driveCount: Int) -> ShardPlace {
        ShardPlace(
            shard: ShardIndex(0), post: ShardPost(shardCount: 1, driveCount: driveCount),
            driveNumbers: (0..<driveCount).map { DriveNumber(UInt16($0)) })
    }
}
