// SizeClass: how large a slot is: the smallest slot times a power of two, up to the store's block
// size.

/// A slot size, as its exponent over the smallest slot.
package struct SizeClass: Hashable, Comparable, Sendable {
    package let rawValue: UInt8
    package init(_ rawValue: UInt8) { self.rawValue = rawValue }
    package static func < (left: SizeClass, right: SizeClass) -> Bool {
        left.rawValue < right.rawValue
    }
    /// Slots of the smallest class that one of this class covers.
    package var units: UInt32 { 1 << UInt32(rawValue) }
}

/// Where a value goes: so many slots of one class.
package struct SlotDemand: Hashable, Sendable {
    package let sizeClass: SizeClass
    package let count: Int
}

/// The size classes of one drive.
package struct SizeClasses: Hashable, Sendable {
    package let minimumSlotBytes: UInt32
    package let blockSizeBytes: UInt32

    package init(minimumSlotBytes: UInt32, blockSizeBytes: UInt32) {
        self.minimumSlotBytes = minimumSlotBytes
        self.blockSizeBytes = blockSizeBytes
    }

    package var count: Int {
        (blockSizeBytes / minimumSlotBytes).trailingZeroBitCount + 1
    }

    package var largest: SizeClass { SizeClass(UInt8(count - 1)) }

    package func slotBytes(of sizeClass: SizeClass) -> ByteCount {
        ByteCount(UInt64(minimumSlotBytes) << UInt64(sizeClass.rawValue))
    }

    /// The smallest class that holds `lengthBytes` in one slot, or several slots of the largest.
    package func demand(forLength lengthBytes: UInt32) -> SlotDemand {
        precondition(lengthBytes > 0, "a value of no bytes")
        if lengthBytes > blockSizeBytes {
            let slots = (lengthBytes - 1) / blockSizeBytes + 1
            return SlotDemand(sizeClass: largest, count: Int(slots))
        }
        var exponent: UInt8 = 0
        while UInt64(minimumSlotBytes) << UInt64(exponent) < UInt64(lengthBytes) { exponent += 1 }
        return SlotDemand(sizeClass: SizeClass(exponent), count: 1)
    }
}
