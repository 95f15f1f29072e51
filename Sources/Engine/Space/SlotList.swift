// SlotList: the slots of one value, in the order of its bytes.

/// A slot's place on its drive, counted in units of the smallest size class from the data area's
/// start.
package struct SlotIndex: Hashable, Comparable, Sendable {
    package let rawValue: UInt32
    package init(_ rawValue: UInt32) { self.rawValue = rawValue }
    package static func < (left: SlotIndex, right: SlotIndex) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Up to `capacity` slots of one size class.
package struct SlotList: Sendable {
    /// Most slots that one value takes.
    package static let capacity = 16

    package private(set) var count = 0
    private var slots = InlineArray<16, UInt32>(repeating: 0)

    package init() {}

    package mutating func append(_ slot: SlotIndex) {
        precondition(count < Self.capacity, "a value of more than \(Self.capacity) slots")
        slots[count] = slot.rawValue
        count += 1
    }

    package subscript(index: Int) -> SlotIndex {
        precondition(index < count, "slot \(index) of \(count)")
        return SlotIndex(slots[index])
    }
}
