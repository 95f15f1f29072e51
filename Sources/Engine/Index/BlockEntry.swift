// BlockEntry: what the index knows of one block.

package import Wire

/// Orders everything that ever happens to keys of a drive; a higher version is newer.
package struct Version: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: Version, right: Version) -> Bool {
        left.rawValue < right.rawValue
    }
    var next: Version { Version(rawValue + 1) }
}

/// A live block: where its bytes are and what they must be.
package struct BlockEntry: Sendable {
    package var key: BlockKey
    package var version: Version
    package var lengthBytes: UInt32
    /// Seconds since 1970 after which it is gone; 0 for never.
    package var expirySeconds: UInt32
    /// XXH3-64 of the value.
    package var checksum: UInt64
    package var sizeClass: SizeClass
    package var slots: SlotList

    package init(
        key: BlockKey, version: Version, lengthBytes: UInt32, expirySeconds: UInt32 = 0,
        checksum: UInt64, sizeClass: SizeClass, slots: SlotList
    ) {
        self.key = key
        self.version = version
        self.lengthBytes = lengthBytes
        self.expirySeconds = expirySeconds
        self.checksum = checksum
        self.sizeClass = sizeClass
        self.slots = slots
    }
}

/// Slots of one class, without the value they hold.
struct SlotExtent: Sendable {
    var sizeClass = SizeClass(0)
    var slots = SlotList()

    static let none = SlotExtent()
    var isEmpty: Bool { slots.count == 0 }

    func isSame(as other: SlotExtent) -> Bool {
        guard sizeClass == other.sizeClass, slots.count == other.slots.count else { return false }
        for index in 0..<slots.count where slots[index] != other.slots[index] { return false }
        return true
    }
}

extension BlockEntry {
    var extent: SlotExtent { SlotExtent(sizeClass: sizeClass, slots: slots) }
}

extension BlockKey: FixedMapKey {
    package func mapHash(seed: UInt64) -> UInt64 { mixed(seed: seed) }
}
