// PageAllocator: which pages of the index region are in use.
//
// Always holds: a page that the last complete checkpoint refers to is never handed out; a page
// replaced since then is *retired* and becomes free only when the checkpoint that no longer needs
// it is complete, superblock B included.

/// One drive's index pages.
struct PageAllocator: ~Copyable {
    private var used: Bitmap
    private var retired: RingQueue<PageIndex>

    init(pageCount: UInt32) {
        used = Bitmap(count: Int(pageCount))
        retired = RingQueue(capacity: Int(pageCount))
    }

    var usedCount: Int { used.setCount }
    var freeCount: Int { used.count - used.setCount }

    /// A free page, now in use; nil when there is none.
    mutating func allocate() -> PageIndex? {
        guard let index = used.findClear() else { return nil }
        used.set(index)
        return PageIndex(UInt32(index))
    }

    /// Recovery found `page` in use; false when it was found before: two owners.
    mutating func claim(_ page: PageIndex) -> Bool {
        guard page.rawValue < UInt32(used.count) else { return false }
        return used.set(Int(page.rawValue))
    }

    /// The next checkpoint doesn't need `page` any more.
    mutating func retire(_ page: PageIndex) { retired.append(page) }

    /// Pages waiting for the checkpoint to be complete.
    var retiredCount: Int { retired.count }

    /// The page that has waited longest.
    var nextRetired: PageIndex? { retired.front }

    /// A checkpoint is complete: the page that has waited longest is free.
    mutating func releaseRetired() {
        guard let page = retired.popFirst() else { preconditionFailure("no retired page") }
        precondition(used.clear(Int(page.rawValue)), "page \(page.rawValue) retired twice")
    }

    /// Somebody still reads the page that has waited longest: it waits for the next checkpoint.
    mutating func postponeRetired() {
        guard let page = retired.popFirst() else { preconditionFailure("no retired page") }
        retired.append(page)
    }

    mutating func removeAll() {
        used.clearAll()
        while retired.popFirst() != nil {}
    }
}
