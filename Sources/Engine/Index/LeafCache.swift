// LeafCache: the leaf pages in memory, a fixed number of frames, replaced by second chance (CLOCK).
//
// Always holds: a page is in one frame at most; a frame that is loading, being written or pinned
// keeps its page; waiters of a loading frame are woken once, when it is loaded or failed.

import Wire

/// A frame of the leaf cache.
struct FrameIndex: Hashable, Sendable {
    let rawValue: Int
    init(_ rawValue: Int) { self.rawValue = rawValue }
}

/// One drive's leaf cache.
struct LeafCache: ~Copyable {
    enum FrameState {
        case free
        case loading
        case ready
    }

    /// A load in progress: a key of the leaf's range, and since when.
    struct Load: Sendable {
        var key = BlockKey.lowest
        var began = Instant(nanoseconds: 0)
        /// The first try failed.
        var isSecondTry = false
    }

    struct Frame {
        var state = FrameState.free
        var page = PageIndex(0)
        var isWriting = false
        var pins = 0
        var wasUsed = false
        var waiters = WaitQueue()
        var load = Load()
    }

    private let memory: ArenaRange
    private var frames: FixedArray<Frame>
    private var byPage: FixedMap<UInt32, FrameIndex>
    private var hand = 0

    /// As many frames as fit into `memory`.
    init(memory: ArenaRange, seed: UInt64) {
        self.memory = memory
        let count = Int(memory.length.rawValue / FormatConstants.pageBytes)
        frames = FixedArray(count: count, repeating: Frame())
        byPage = FixedMap(capacity: count, seed: seed)
    }

    var frameCount: Int { frames.count }

    func place(of frame: FrameIndex) -> ArenaOffset {
        memory.start.advanced(by: UInt64(frame.rawValue) * FormatConstants.pageBytes)
    }

    func state(of frame: FrameIndex) -> FrameState { frames[frame.rawValue].state }

    func page(of frame: FrameIndex) -> PageIndex { frames[frame.rawValue].page }

    /// The frame that holds or is loading `page`.
    func frame(of page: PageIndex) -> FrameIndex? { byPage[page.rawValue] }

    /// True when `page` is in memory.
    func isReady(_ page: PageIndex) -> Bool {
        guard let frame = byPage[page.rawValue] else { return false }
        if case .ready = frames[frame.rawValue].state { return true }
        return false
    }

    /// Takes the waiters of a frame that is loading, one frame after the other: to be woken though
    /// it isn't loaded.
    mutating func takeWaiters(of frame: Int) -> WaitQueue {
        let waiters = frames[frame].waiters
        frames[frame].waiters = WaitQueue()
        return waiters
    }

    mutating func markUsed(_ frame: FrameIndex) { frames[frame.rawValue].wasUsed = true }

    mutating func pin(_ frame: FrameIndex) { frames[frame.rawValue].pins += 1 }

    mutating func unpin(_ frame: FrameIndex) {
        precondition(frames[frame.rawValue].pins > 0, "a frame unpinned too often")
        frames[frame.rawValue].pins -= 1
    }

    /// Takes a frame for `page`, forgetting another page; nil when every frame is in use.
    mutating func take(for page: PageIndex, state: FrameState) -> FrameIndex? {
        precondition(byPage[page.rawValue] == nil, "page \(page.rawValue) has a frame already")
        for _ in 0..<frames.count * 2 {
            let index = hand
            hand = (hand + 1) % frames.count
            let frame = frames[index]
            if frame.pins > 0 || frame.isWriting || frame.state == .loading { continue }
            if frame.state == .ready, frame.wasUsed {
                frames[index].wasUsed = false
                continue
            }
            if frame.state == .ready { byPage.remove(frame.page.rawValue) }
            frames[index] = Frame(state: state, page: page)
            byPage.set(page.rawValue, to: FrameIndex(index))
            return FrameIndex(index)
        }
        return nil
    }

    /// How many frames `take` could give now.
    var takeable: Int {
        var count = 0
        for index in 0..<frames.count
        where frames[index].pins == 0 && !frames[index].isWriting
            && frames[index].state != .loading
        {
            count += 1
        }
        return count
    }

    /// The load of `frame` has ended; its waiters, to be woken.
    mutating func loaded(_ frame: FrameIndex, isGood: Bool) -> WaitQueue {
        precondition(frames[frame.rawValue].state == .loading, "a frame loaded twice")
        let waiters = frames[frame.rawValue].waiters
        frames[frame.rawValue].waiters = WaitQueue()
        if isGood {
            frames[frame.rawValue].state = .ready
        } else {
            byPage.remove(frames[frame.rawValue].page.rawValue)
            frames[frame.rawValue].state = .free
        }
        return waiters
    }

    mutating func setWriting(_ frame: FrameIndex, _ isWriting: Bool) {
        frames[frame.rawValue].isWriting = isWriting
    }

    func waiters(of frame: FrameIndex) -> WaitQueue { frames[frame.rawValue].waiters }

    mutating func setWaiters(_ waiters: WaitQueue, of frame: FrameIndex) {
        frames[frame.rawValue].waiters = waiters
    }

    func load(of frame: FrameIndex) -> Load { frames[frame.rawValue].load }

    mutating func noteSecondTry(of frame: FrameIndex) {
        frames[frame.rawValue].load.isSecondTry = true
    }

    mutating func noteLoad(of frame: FrameIndex, covering key: BlockKey, began: Instant) {
        frames[frame.rawValue].load = Load(key: key, began: began)
    }

    /// True while somebody reads, writes or waits for the frame of `page`.
    func isHeld(_ page: PageIndex) -> Bool {
        guard let frame = byPage[page.rawValue] else { return false }
        let held = frames[frame.rawValue]
        return held.pins > 0 || held.isWriting || held.state == .loading
    }

    /// Forgets a page that no tree refers to any more and nobody holds.
    mutating func forget(_ page: PageIndex) {
        guard let frame = byPage[page.rawValue] else { return }
        precondition(!isHeld(page), "a page forgotten while it is held")
        byPage.remove(page.rawValue)
        frames[frame.rawValue] = Frame()
    }
}
