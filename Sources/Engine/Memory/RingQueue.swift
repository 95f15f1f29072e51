// RingQueue: first in, first out, with a fixed capacity.

/// A queue of at most `capacity` elements.
package struct RingQueue<Element>: ~Copyable {
    private var elements: FixedArray<Element?>
    private var first = 0
    package private(set) var count = 0

    package init(capacity: Int) { elements = FixedArray(count: capacity, repeating: nil) }

    package var isEmpty: Bool { count == 0 }
    package var isFull: Bool { count == elements.count }
    /// Elements that still fit.
    package var room: Int { elements.count - count }

    /// Adds at the end; traps when the queue is full, which its user has ruled out.
    package mutating func append(_ element: Element) {
        precondition(!isFull, "a queue of \(elements.count) is full")
        elements[(first + count) % elements.count] = element
        count += 1
    }

    package var front: Element? { count == 0 ? nil : elements[first] }

    package mutating func popFirst() -> Element? {
        guard count > 0, let element = elements[first] else { return nil }
        elements[first] = nil
        first = (first + 1) % elements.count
        count -= 1
        return element
    }

    /// The element `index` places behind the front.
    package subscript(index: Int) -> Element {
        get {
            precondition(index < count, "element \(index) of a queue of \(count)")
            guard let element = elements[(first + index) % elements.count] else {
                preconditionFailure("a hole in a queue")
            }
            return element
        }
        set {
            precondition(index < count, "element \(index) of a queue of \(count)")
            elements[(first + index) % elements.count] = newValue
        }
    }
}
