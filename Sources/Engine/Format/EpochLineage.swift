// EpochLineage: which epoch a drive has noted, and the ones before it.
//
// An epoch is a stretch of the store's life with one set of drives: a counter, an id that no other
// epoch has, and the members that are in, as bits by their place in the store. Always holds: a
// lineage goes back without gaps, to `limit` epochs at most; two lineages that share an epoch share
// all before it.

import Wire

/// A set of a store's members, as bits by their place.
package struct MemberSet: Hashable, Sendable {
    package private(set) var bits: UInt64

    package init(bits: UInt64) { self.bits = bits }

    /// The first `count` members.
    package init(first count: Int) {
        bits = count >= 64 ? .max : (UInt64(1) << UInt64(count)) - 1
    }

    func contains(_ member: Int) -> Bool { bits >> UInt64(member) & 1 != 0 }
    mutating func insert(_ member: Int) { bits |= UInt64(1) << UInt64(member) }
    mutating func remove(_ member: Int) { bits &= ~(UInt64(1) << UInt64(member)) }
    func union(_ other: Self) -> Self { Self(bits: bits | other.bits) }
}

/// An epoch and those before it, newest first.
package struct EpochLineage: Sendable {
    package static let limit = 16
    /// Epochs stay below it: they are the upper bits of versions.
    static let counterLimit: UInt32 = 1 << 20

    /// The present epoch's counter; the one `n` places on has a counter lower by `n`.
    package private(set) var counter: UInt32 = 0
    /// Epochs known, the present one included.
    private(set) var known = 1
    private var ids = InlineArray<16, UInt64>(repeating: 0)
    private var sets = InlineArray<16, MemberSet>(repeating: MemberSet(bits: 0))

    /// The first epoch of a store of `memberCount` drives, all of them in.
    init(storeID: StoreIdentity, memberCount: Int) {
        ids[0] = Self.mix(storeID.high, storeID.low)
        sets[0] = MemberSet(first: memberCount)
    }

    /// As stored; nil when it can't be.
    init?(counter: UInt32, known: Int, words: (Int) -> UInt64) {
        guard (1...Self.limit).contains(known), counter < Self.counterLimit,
            known <= Int(counter) + 1
        else { return nil }
        self.counter = counter
        self.known = known
        for index in 0..<known {
            ids[index] = words(index * 2)
            sets[index] = MemberSet(bits: words(index * 2 + 1))
        }
    }

    func store(_ word: (UInt64, Int) -> Void) {
        for index in 0..<known {
            word(ids[index], index * 2)
            word(sets[index].bits, index * 2 + 1)
        }
    }

    /// The present epoch's id and set.
    package var id: UInt64 { ids[0] }
    package var members: MemberSet { sets[0] }

    /// True when `other`'s present epoch is this lineage's or one before it.
    func contains(_ other: EpochLineage) -> Bool {
        guard other.counter <= counter, Int(counter - other.counter) < known else { return false }
        return ids[Int(counter - other.counter)] == other.id
    }

    /// The sets of the epochs after `counter`, which is known, each with its counter.
    func sets(after counter: UInt32) -> [(counter: UInt32, members: MemberSet)] {
        precondition(counter <= self.counter && self.counter - counter < known, "an unknown epoch")
        return (0..<Int(self.counter - counter)).map { (self.counter - UInt32($0), sets[$0]) }
    }

    /// The counter of the last known epoch that `member` was in; nil when there is none.
    func lastEpoch(of member: Int) -> UInt32? {
        for index in 0..<known where sets[index].contains(member) {
            return counter - UInt32(index)
        }
        return nil
    }

    /// Begins a new epoch of `members`. `entropy` makes its id differ from that of any other epoch
    /// that somebody else begins from the same one.
    mutating func advance(to members: MemberSet, entropy: UInt64) {
        precondition(counter + 1 < Self.counterLimit, "no more epochs")
        counter += 1
        known = min(known + 1, Self.limit)
        for index in stride(from: known - 1, to: 0, by: -1) {
            ids[index] = ids[index - 1]
            sets[index] = sets[index - 1]
        }
        ids[0] = Self.mix(Self.mix(ids[0], entropy), members.bits)
        sets[0] = members
    }

    #if PLANTED_BUGS
    /// Makes epochs of one counter look like one.
    mutating func forgetIDs() {
        for index in 0..<known { ids[index] = 1 }
    }
    #endif

    /// A bijection of each word, so that differing ones stay different (as BlockKey's).
    private static func mix(_ first: UInt64, _ second: UInt64) -> UInt64 {
        BlockKey.finalize(BlockKey.finalize(first) ^ second)
    }
}
