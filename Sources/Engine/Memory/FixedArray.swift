// FixedArray: a table whose size is decided once and whose elements may be noncopyable.
//
// Always holds: every element is initialised from first to last moment; an index outside traps;
// nothing is allocated after `init`. The memory under every table and queue of the engine.
//
// Elements are reached by address, not through `_read` and `_modify`: those are coroutines, whose
// frames come from the heap wherever the compiler doesn't inline them.
//
// One of the files that may say `unsafe`.

/// A table of `count` elements, made once.
@safe
package struct FixedArray<Element: ~Copyable>: ~Copyable {
    private let elements: UnsafeMutablePointer<Element>
    package let count: Int

    /// A table whose element `index` is `make(index)`.
    package init(count: Int, _ make: (Int) -> Element) {
        precondition(count >= 0, "a table of \(count) elements")
        self.count = count
        unsafe elements = .allocate(capacity: max(1, count))
        for index in 0..<count { unsafe (elements + index).initialize(to: make(index)) }
    }

    deinit {
        unsafe elements.deinitialize(count: count)
        unsafe elements.deallocate()
    }

    package subscript(index: Int) -> Element {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(address(of: index)) }
        @inline(__always)
        unsafeMutableAddress { unsafe address(of: index) }
    }

    /// Where element `index` is, as long as the table lives. For the accessors of what wraps a
    /// table.
    @unsafe
    @inline(__always)
    func address(of index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < count, "element \(index) of \(count)")
        return unsafe elements + index
    }
}

extension FixedArray where Element: ~Copyable {
    subscript(drive: DriveIndex) -> Element {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(address(of: Int(drive.rawValue))) }
        @inline(__always)
        unsafeMutableAddress { unsafe address(of: Int(drive.rawValue)) }
    }
}

extension FixedArray where Element: Copyable {
    /// A table of `count` copies of `element`.
    package init(count: Int, repeating element: Element) {
        self.init(count: count) { _ in element }
    }

    /// Moves `length` elements from `source` on to `target` on; the stretches may overlap.
    package mutating func move(from source: Int, to target: Int, length: Int) {
        precondition(
            source >= 0 && target >= 0 && length >= 0 && source + length <= count
                && target + length <= count, "a move outside the table")
        unsafe (elements + target).update(from: elements + source, count: length)
    }
}
