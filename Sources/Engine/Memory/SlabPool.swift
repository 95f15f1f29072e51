// SlabPool: the fixed pool of equal slabs that payloads pass through, shared by every shard of a
// daemon.
//
// Always holds: a slab has one owner, the `SlabLease` that took it, or is on the free list;
// allocated + free = total. Taking is a pop from a tagged 32:32 compare-and-swap list (Treiber, IBM
// RJ 5118, 1986; the tag defeats ABA), so shards never wait for each other. A slab that comes back
// twice is counted and refused: it is never handed out to two.
//
// One of the files that may say `unsafe`.

private import Synchronization
package import Wire

/// A slab's place in its pool.
package struct SlabIndex: Hashable, Sendable {
    package let rawValue: UInt32
    package init(_ rawValue: UInt32) { self.rawValue = rawValue }
    static let none = SlabIndex(.max)
}

/// The pool. Lives as long as the process; every lease refers to it.
@safe
package final class SlabPool: @unchecked Sendable {
    // Sendable because the list's head is atomic, and a slab's link belongs to whoever owns the
    // slab.
    package let arena: Arena
    package let region: ArenaRange
    package let slabBytes: ByteCount
    package let slabCount: UInt32
    private let links: UnsafeMutablePointer<UInt32>
    private let taken: UnsafeMutablePointer<Atomic<UInt8>>
    private let head: Atomic<UInt64>
    private let free: Atomic<Int>
    private let retries = Atomic<UInt64>(0)
    private let doubleFrees = Atomic<UInt64>(0)
    #if PLANTED_BUGS
    /// What goes wrong at the next occasion, and never again.
    private let injected = Atomic<UInt8>(0)
    #endif

    /// A pool of as many slabs of `slabBytes` as fit into `region`.
    package init(arena: Arena, region: ArenaRange, slabBytes: ByteCount) {
        let count = UInt32(region.length.rawValue / slabBytes.rawValue)
        precondition(count > 0, "a slab pool of no slabs")
        self.arena = arena
        self.region = region
        self.slabBytes = slabBytes
        slabCount = count
        unsafe links = .allocate(capacity: Int(count))
        unsafe taken = .allocate(capacity: Int(count))
        for index in 0..<count {
            unsafe (links + Int(index)).initialize(to: index + 1 < count ? index + 1 : .max)
            unsafe (taken + Int(index)).initialize(to: Atomic(0))
        }
        head = Atomic(0)
        free = Atomic(Int(count))
    }

    deinit {
        unsafe taken.deinitialize(count: Int(slabCount))
        unsafe taken.deallocate()
        unsafe links.deallocate()
    }

    /// Slabs on the free list, at some recent instant.
    package var freeSlabs: Int { free.load(ordering: .relaxed) }
    /// Times a compare-and-swap lost against another thread.
    package var casRetries: UInt64 { retries.load(ordering: .relaxed) }
    /// Slabs that came back though nobody had them.
    package var doubleFreeCount: UInt64 { doubleFrees.load(ordering: .relaxed) }

    /// How many slabs a value of `lengthBytes` takes; at least one.
    package func slabs(for lengthBytes: ByteCount) -> UInt32 {
        max(1, UInt32(lengthBytes.roundedUp(to: slabBytes).rawValue / slabBytes.rawValue))
    }

    /// A lease on slabs for `lengthBytes`, all or none; nil when there are too few.
    package func lease(lengthBytes: ByteCount) -> SlabLease? {
        let wanted = slabs(for: lengthBytes)
        var first = SlabIndex.none
        for _ in 0..<wanted {
            guard let slab = pop() else {
                giveBack(from: first)
                return nil
            }
            unsafe links[Int(slab.rawValue)] = first.rawValue
            first = slab
        }
        return SlabLease(pool: self, chain: SlabChain(first: first, count: wanted))
    }

    /// Ownership of slabs that another thread's lease was handed over as; once for each hand-over.
    func adopt(_ chain: SlabChain) -> SlabLease { SlabLease(pool: self, chain: chain) }

    /// The memory of one slab.
    package func memory(of slab: SlabIndex) -> ArenaRange {
        precondition(slab.rawValue < slabCount, "slab \(slab.rawValue) of \(slabCount)")
        return ArenaRange(
            start: region.start.advanced(by: UInt64(slab.rawValue) * slabBytes.rawValue),
            length: slabBytes)
    }

    /// The slab behind `slab` in its lease's chain.
    fileprivate func next(after slab: SlabIndex) -> SlabIndex {
        SlabIndex(unsafe links[Int(slab.rawValue)])
    }

    /// Returns a whole chain, slab by slab.
    fileprivate func giveBack(from first: SlabIndex) {
        var slab = first
        while slab != .none {
            let following = next(after: slab)
            release(slab)
            #if PLANTED_BUGS
            if takesPlace(.slabFreedTwice) { release(slab) }
            #endif
            slab = following
        }
    }

    /// Puts one slab back on the free list; counts and refuses one that is there already.
    package func release(_ slab: SlabIndex) {
        precondition(slab.rawValue < slabCount, "slab \(slab.rawValue) of \(slabCount)")
        let index = Int(slab.rawValue)
        guard unsafe taken[index].exchange(0, ordering: .acquiringAndReleasing) == 1 else {
            doubleFrees.add(1, ordering: .relaxed)
            return
        }
        var current = head.load(ordering: .relaxed)
        while true {
            unsafe links[index] = UInt32(truncatingIfNeeded: current)
            let following = Self.head(slab.rawValue, tag: current)
            let (exchanged, seen) = head.weakCompareExchange(
                expected: current, desired: following, successOrdering: .releasing,
                failureOrdering: .relaxed)
            if exchanged { break }
            retries.add(1, ordering: .relaxed)
            current = seen
        }
        free.add(1, ordering: .relaxed)
    }

    private func pop() -> SlabIndex? {
        var current = head.load(ordering: .acquiring)
        while true {
            let index = UInt32(truncatingIfNeeded: current)
            if index == .max { return nil }
            // A stale link is harmless: the tag then differs and the exchange below fails.
            let following = Self.head(unsafe links[Int(index)], tag: current)
            #if PLANTED_BUGS
            // Another thread takes a slab and gives it back between the look and the exchange.
            if takesPlace(.slabListContended), let slab = pop() { release(slab) }
            #endif
            let (exchanged, seen) = head.weakCompareExchange(
                expected: current, desired: following, successOrdering: .acquiringAndReleasing,
                failureOrdering: .acquiring)
            if exchanged {
                free.subtract(1, ordering: .relaxed)
                unsafe taken[Int(index)].store(1, ordering: .releasing)
                return SlabIndex(index)
            }
            retries.add(1, ordering: .relaxed)
            current = seen
        }
    }

    private static func head(_ index: UInt32, tag previous: UInt64) -> UInt64 {
        UInt64(index) | ((previous >> 32) &+ 1) << 32
    }
}

#if PLANTED_BUGS
/// What a test build can make go wrong in a slab pool, once.
package enum SlabFault: UInt8, CaseIterable, Sendable {
    /// A slab comes back a second time.
    case slabFreedTwice = 1
    /// Another thread gets ahead on the free list.
    case slabListContended = 2
}

extension SlabPool {
    /// Makes `fault` happen at the next occasion.
    package func inject(_ fault: SlabFault) {
        injected.store(fault.rawValue, ordering: .relaxed)
    }

    private func takesPlace(_ fault: SlabFault) -> Bool {
        injected.compareExchange(
            expected: fault.rawValue, desired: 0, ordering: .relaxed
        ).exchanged
    }
}
#endif

/// Slabs one behind the other, without owning them: good while the lease that it is of lives.
package struct SlabChain: Sendable {
    fileprivate let first: SlabIndex
    package let count: UInt32
}

extension SlabPool {
    /// The longest contiguous piece of memory that begins `offset` bytes into `chain`, `limit` at
    /// most.
    package func piece(of chain: SlabChain, at offset: UInt64, limit: ByteCount) -> ArenaRange {
        let capacity = UInt64(chain.count) * slabBytes.rawValue
        precondition(offset < capacity, "byte \(offset) of slabs for \(capacity)")
        var slab = chain.first
        for _ in 0..<(offset / slabBytes.rawValue) { slab = next(after: slab) }
        let inside = offset % slabBytes.rawValue
        let length = min(limit.rawValue, slabBytes.rawValue - inside)
        return memory(of: slab).part(at: inside, length: ByteCount(length))
    }

    /// XXH3-64 of `length` bytes of `chain` from `offset`.
    package func checksum(
        of chain: SlabChain, at offset: UInt64 = 0, length: ByteCount,
        using streaming: inout StreamingChecksum
    ) -> UInt64 {
        var position = offset
        let end = offset + length.rawValue
        let whole = length == .zero ? nil : piece(of: chain, at: offset, limit: length)
        if let whole, whole.length == length { return arena.checksum(whole) }
        streaming.begin()
        while position < end {
            let range = piece(of: chain, at: position, limit: ByteCount(end - position))
            arena.add(range, to: &streaming)
            position += range.length.rawValue
        }
        return streaming.end()
    }
}

/// Sole ownership of a chain of slabs: one value's memory while the kernel or a NIC may hold it.
///
/// Gives the slabs back when it ends; whoever submits an operation on them keeps the lease until
/// that operation has completed.
package struct SlabLease: ~Copyable {
    package let pool: SlabPool
    /// The slabs, for whoever works on them while the lease lives.
    package let chain: SlabChain
    private var isHandedOver = false

    fileprivate init(pool: SlabPool, chain: SlabChain) {
        self.pool = pool
        self.chain = chain
    }

    deinit { if !isHandedOver { pool.giveBack(from: chain.first) } }

    /// Ends the lease without giving its slabs back: they are the receiver's, who must `adopt`
    /// them.
    consuming func handOver() -> SlabChain {
        isHandedOver = true
        return chain
    }

    package var count: UInt32 { chain.count }

    /// Bytes the lease can hold.
    package var capacity: ByteCount { ByteCount(UInt64(count) * pool.slabBytes.rawValue) }

    /// The longest contiguous piece of memory that begins `offset` bytes into the lease, `limit` at
    /// most.
    package func piece(at offset: UInt64, limit: ByteCount) -> ArenaRange {
        pool.piece(of: chain, at: offset, limit: limit)
    }

    /// XXH3-64 of `length` bytes from `offset`.
    package func checksum(
        at offset: UInt64 = 0, length: ByteCount, using streaming: inout StreamingChecksum
    ) -> UInt64 {
        pool.checksum(of: chain, at: offset, length: length, using: &streaming)
    }
}
