// BlockingQueue: elements handed from one thread to others.
//
// Always holds: an element is taken once; after `close` nothing is added and takers get what is
// left, then nothing. Unbounded by itself: what bounds it is the pool of buffers that its elements
// carry.

import Foundation

final class BlockingQueue<Element: Sendable>: @unchecked Sendable {
    // Sendable because everything below is guarded by the condition's lock.
    private let condition = NSCondition()
    private var elements: [Element] = []
    private var closed = false

    func add(_ element: Element) {
        condition.lock()
        defer { condition.unlock() }
        guard !closed else { return }
        elements.append(element)
        condition.signal()
    }

    /// Between one and `limit` elements, in the order they were added; waits for the first. Empty
    /// once the queue is closed and drained.
    func take(upTo limit: Int) -> [Element] {
        condition.lock()
        defer { condition.unlock() }
        while elements.isEmpty, !closed { condition.wait() }
        let taken = Array(elements.prefix(limit))
        elements.removeFirst(taken.count)
        return taken
    }

    /// No more will be added. With `discarding`, what is left is dropped too.
    func close(discarding: Bool = false) {
        condition.lock()
        defer { condition.unlock() }
        closed = true
        if discarding { elements = [] }
        condition.broadcast()
    }
}
