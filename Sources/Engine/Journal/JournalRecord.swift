// JournalRecord: what the journal says, record by record, in 8-byte words.
//
// Always holds: a record never straddles blocks; a put's Alloc stands directly before its Commit,
// in the same block, so both are there or neither. Records that replace or delete name the slots
// they free, so that replaying needs no look into the tree.
//
//   Alloc   [1, words, 0, slots, class, 0, 0, 0][version][slot u32, slot u32]…
//   Commit  [2, words, 0, freed slots, freed class, listed, 0, 0][namespace u32, length u32]
//           [key × 4][version][checksum][expiry u32, zero u32][freed slot u32, freed slot u32]…
//   Delete  [3, words, reason, freed slots, freed class, listed, 0, 0][namespace u32, zero u32]
//           [key × 4]
//           [version][freed slot u32, freed slot u32]…
//   Void    [4, words, 0, 0, 0, 0, 0, 0][version]     the Commit of that version never happened
//
// The first byte of a word is its lowest; type 0 ends a block. Listed is not zero when the key
// belongs into the change list: `Listing` says with which epoch.

import Wire

/// Why a key went away.
package enum RemovalReason: UInt8, Sendable, CaseIterable {
    case deleted = 1
    case evicted = 2
    case expired = 3
    /// Its bytes didn't match their checksum or couldn't be read; its slots are never used again.
    case damaged = 4
    /// A newer value is on the key's first drive, or it was changed while this drive was out.
    case superseded = 5
}

/// Whether a change belongs into its drive's change list.
enum Listing: UInt8, Sendable {
    case none = 0
    /// With the epoch of its version: the key's first or second drive was out.
    case now = 1
    /// With the epoch after that: an older entry is on the key's second drive, which is in. If that
    /// drive goes out before it has removed that entry, it must not return with it.
    case next = 2

    /// The epoch to be listed for a change of `version`; nil for none.
    func epoch(of version: Version) -> UInt32? {
        switch self {
        case .none: nil
        case .now: version.epoch
        case .next: version.epoch + 1
        }
    }
}

/// One record.
enum JournalRecord: Sendable {
    case commit(BlockEntry, freed: SlotExtent, listing: Listing = .none)
    case delete(
        BlockKey, version: Version, reason: RemovalReason, freed: SlotExtent,
        listing: Listing = .none)
    case void(Version)

    private enum Kind: UInt8 {
        case alloc = 1, commit = 2, delete = 3, void = 4
    }

    private static func slotWords(_ count: Int) -> Int { (count + 1) / 2 }

    /// Words the record takes in a block, the Alloc before a Commit included.
    var wordCount: Int {
        switch self {
        case .commit(let entry, let freed, _):
            2 + Self.slotWords(entry.slots.count) + 9 + Self.slotWords(freed.slots.count)
        case .delete(_, _, _, let freed, _): 7 + Self.slotWords(freed.slots.count)
        case .void: 2
        }
    }

    /// Bytes of payload that recovery has to verify for this record.
    var payloadBytes: UInt64 {
        if case .commit(let entry, _, _) = self { UInt64(entry.lengthBytes) } else { 0 }
    }

    var version: Version {
        switch self {
        case .commit(let entry, _, _): entry.version
        case .delete(_, let version, _, _, _): version
        case .void(let version): version
        }
    }

    /// Whether the key belongs into the change list.
    var listing: Listing {
        switch self {
        case .commit(_, _, let listing): listing
        case .delete(_, _, _, _, let listing): listing
        case .void: .none
        }
    }

    /// Writes the record's words through `store(word, index)`.
    func encode(_ store: (UInt64, Int) -> Void) {
        func head(
            _ kind: Kind, words: Int, reason: UInt8 = 0, extent: SlotExtent,
            listing: Listing = .none
        ) -> UInt64 {
            UInt64(kind.rawValue) | UInt64(words) << 8 | UInt64(reason) << 16
                | UInt64(extent.slots.count) << 24 | UInt64(extent.sizeClass.rawValue) << 32
                | UInt64(listing.rawValue) << 40
        }
        func storeSlots(_ slots: SlotList, from first: Int) {
            for pair in 0..<Self.slotWords(slots.count) {
                let low = UInt64(slots[pair * 2].rawValue)
                let high = pair * 2 + 1 < slots.count ? UInt64(slots[pair * 2 + 1].rawValue) : 0
                store(low | high << 32, first + pair)
            }
        }
        func storeKey(_ key: BlockKey, length: UInt32, from first: Int) {
            store(UInt64(key.namespace.rawValue) | UInt64(length) << 32, first)
            let words = key.littleEndianWords
            for index in 0..<4 { store(words[index], first + 1 + index) }
        }
        switch self {
        case .commit(let entry, let freed, let listing):
            let allocWords = 2 + Self.slotWords(entry.slots.count)
            store(head(.alloc, words: allocWords, extent: entry.extent), 0)
            store(entry.version.rawValue, 1)
            storeSlots(entry.slots, from: 2)
            let commitWords = 9 + Self.slotWords(freed.slots.count)
            store(
                head(.commit, words: commitWords, extent: freed, listing: listing), allocWords)
            storeKey(entry.key, length: entry.lengthBytes, from: allocWords + 1)
            store(entry.version.rawValue, allocWords + 6)
            store(entry.checksum, allocWords + 7)
            store(UInt64(entry.expirySeconds), allocWords + 8)
            storeSlots(freed.slots, from: allocWords + 9)
        case .delete(let key, let version, let reason, let freed, let listing):
            store(
                head(
                    .delete, words: wordCount, reason: reason.rawValue, extent: freed,
                    listing: listing), 0)
            storeKey(key, length: 0, from: 1)
            store(version.rawValue, 6)
            storeSlots(freed.slots, from: 7)
        case .void(let version):
            store(head(.void, words: 2, extent: .none), 0)
            store(version.rawValue, 1)
        }
    }

    /// The record that begins at word `first` and the words it takes; nil at the block's end or at
    /// anything that isn't a record.
    static func decode(
        from first: Int, limit: Int, layout: DriveLayout, _ load: (Int) -> UInt64
    ) -> (record: JournalRecord, words: Int)? {
        guard first < limit, let kind = Kind(rawValue: UInt8(truncatingIfNeeded: load(first)))
        else { return nil }
        let words = Int(load(first) >> 8 & 0xFF)
        guard words >= 2, first + words <= limit else { return nil }
        switch kind {
        case .alloc:
            guard
                let slots = loadExtent(
                    at: first, slotsFrom: first + 2, end: first + words, layout, load)
            else { return nil }
            return decodeCommit(
                at: first + words, limit: limit, allocated: slots,
                allocVersion: load(first + 1), layout: layout, load
            ).map { ($0.record, $0.words + words) }
        case .commit:
            return nil
        case .delete:
            guard words >= 7, load(first + 6) < FormatConstants.counterLimit,
                let reason = RemovalReason(rawValue: UInt8(truncatingIfNeeded: load(first) >> 16)),
                let listing = Listing(rawValue: UInt8(truncatingIfNeeded: load(first) >> 40)),
                let freed = loadExtent(
                    at: first, slotsFrom: first + 7, end: first + words, layout, load)
            else { return nil }
            let record = JournalRecord.delete(
                loadKey(at: first + 1, load), version: Version(load(first + 6)), reason: reason,
                freed: freed, listing: listing)
            return (record, words)
        case .void:
            guard load(first + 1) < FormatConstants.counterLimit else { return nil }
            return (.void(Version(load(first + 1))), words)
        }
    }

    private static func decodeCommit(
        at first: Int, limit: Int, allocated: SlotExtent, allocVersion: UInt64,
        layout: DriveLayout, _ load: (Int) -> UInt64
    ) -> (record: JournalRecord, words: Int)? {
        guard first < limit, UInt8(truncatingIfNeeded: load(first)) == Kind.commit.rawValue else {
            return nil
        }
        let words = Int(load(first) >> 8 & 0xFF)
        let length = UInt32(truncatingIfNeeded: load(first + 1) >> 32)
        guard words >= 9, first + words <= limit, load(first + 6) == allocVersion, length > 0,
            allocVersion < FormatConstants.counterLimit, length <= 16 << 20, !allocated.isEmpty,
            layout.classes.demand(forLength: length)
                == SlotDemand(sizeClass: allocated.sizeClass, count: allocated.slots.count),
            let freed = loadExtent(
                at: first, slotsFrom: first + 9, end: first + words, layout, load),
            let listing = Listing(rawValue: UInt8(truncatingIfNeeded: load(first) >> 40))
        else { return nil }
        let entry = BlockEntry(
            key: loadKey(at: first + 1, load), version: Version(load(first + 6)),
            lengthBytes: length, expirySeconds: UInt32(truncatingIfNeeded: load(first + 8)),
            checksum: load(first + 7), sizeClass: allocated.sizeClass, slots: allocated.slots)
        return (.commit(entry, freed: freed, listing: listing), words)
    }

    private static func loadKey(at first: Int, _ load: (Int) -> UInt64) -> BlockKey {
        BlockKey(
            namespace: Namespace(UInt32(truncatingIfNeeded: load(first))),
            littleEndianWords: [load(first + 1), load(first + 2), load(first + 3), load(first + 4)])
    }

    private static func loadExtent(
        at head: Int, slotsFrom first: Int, end: Int, _ layout: DriveLayout,
        _ load: (Int) -> UInt64
    ) -> SlotExtent? {
        let count = Int(load(head) >> 24 & 0xFF)
        let sizeClass = SizeClass(UInt8(truncatingIfNeeded: load(head) >> 32))
        guard count <= SlotList.capacity, first + slotWords(count) <= end,
            Int(sizeClass.rawValue) < layout.classes.count
        else { return nil }
        var slots = SlotList()
        for index in 0..<count {
            let slot = UInt32(
                truncatingIfNeeded: load(first + index / 2) >> (index % 2 == 0 ? 0 : 32))
            guard slot < layout.unitCount, slot % sizeClass.units == 0 else { return nil }
            slots.append(SlotIndex(slot))
        }
        return SlotExtent(sizeClass: sizeClass, slots: slots)
    }
}
