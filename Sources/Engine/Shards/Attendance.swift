// Attendance: which members of the store are out, in the order in which they went, and which epoch
// each drive has noted durably. Shared by all shards.
//
// Always holds: a member that is out stays out; the order is one for all shards, so each of them
// derives the same epochs from it. What a shard notes here is seen by every shard that receives a
// message sent after it.

private import Synchronization

/// The lists, without a lock.
final class Attendance: Sendable {
    /// The members that went out, oldest first: one more than their place; 0 for none yet.
    private let outs = InlineArray<64, Atomic<UInt8>> { _ in Atomic(0) }
    /// One more than the counter of the epoch that each member's superblocks have; 0 before that.
    private let noted = InlineArray<64, Atomic<UInt32>> { _ in Atomic(0) }
    private let strays = Atomic<UInt64>(0)

    /// `member` is out from now on. Harmless when it is already.
    func noteOut(_ member: Int) {
        let name = UInt8(member) + 1
        for place in 0..<64 {
            let (isFirst, found) = outs[place].compareExchange(
                expected: 0, desired: name, ordering: .acquiringAndReleasing)
            if isFirst || found == name { return }
        }
        preconditionFailure("more drives out than a store has")
    }

    /// The member that was the `place`-th to go out; nil when there are fewer.
    func out(at place: Int) -> Int? {
        if place >= 64 { return nil }
        let name = outs[place].load(ordering: .acquiring)
        return name == 0 ? nil : Int(name) - 1
    }

    /// Both superblocks of `member` have the epoch `counter`, durably.
    func note(_ member: Int, epoch counter: UInt32) {
        noted[member].store(counter + 1, ordering: .releasing)
    }

    func hasNoted(_ member: Int, epoch counter: UInt32) -> Bool {
        noted[member].load(ordering: .acquiring) > counter
    }

    /// Members whose drives may hold strays of keys whose first drives are in: known to all shards
    /// before the first such stray is acknowledged. While a first drive is out, its keys' second
    /// ones are looked at anyway.
    var mayHaveStrays: MemberSet { MemberSet(bits: strays.load(ordering: .acquiring)) }

    func noteStrays(of member: Int, _ has: Bool) {
        let bit = UInt64(1) << UInt64(member)
        if has {
            strays.bitwiseOr(bit, ordering: .acquiringAndReleasing)
        } else {
            strays.bitwiseAnd(~bit, ordering: .acquiringAndReleasing)
        }
    }
}
