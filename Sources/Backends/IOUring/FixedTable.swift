// A table of a fixed number of places, whose elements may own things and are changed where they
// stand.
//
// Always holds: every place holds an element from `init` to the table's end; it never allocates
// between.
//
// One of the files that may say `unsafe`.

#if IOUring

/// A bounded table.
@safe
struct FixedTable<Element: ~Copyable>: ~Copyable {
    private let places: UnsafeMutablePointer<Element>
    let count: Int

    init(count: Int, make: (Int) -> Element) {
        self.count = count
        unsafe places = .allocate(capacity: count)
        for index in 0..<count { unsafe (places + index).initialize(to: make(index)) }
    }

    deinit {
        unsafe places.deinitialize(count: count)
        unsafe places.deallocate()
    }

    /// By address, not through coroutines, whose frames may come from the heap.
    subscript(index: Int) -> Element {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(address(of: index)) }
        @inline(__always)
        nonmutating unsafeMutableAddress { unsafe address(of: index) }
    }

    @inline(__always)
    private func address(of index: Int) -> UnsafeMutablePointer<Element> {
        precondition(index >= 0 && index < count, "place \(index) of \(count)")
        return unsafe places + index
    }
}

#endif
