// A first-in, first-out queue whose capacity is fixed when it is made.
//
// Always holds: it never allocates after `init`. It refuses, by trapping, one element more than it
// was made for: its capacity is a sum that its owner has proven.

#if IOUring

/// A bounded queue.
struct FixedQueue<Element: Sendable>: Sendable {
    private var elements: [Element?]
    private var head = 0
    private(set) var count = 0

    init(capacity: Int) { elements = Array(repeating: nil, count: capacity) }

    var isEmpty: Bool { count == 0 }
    var first: Element? { count == 0 ? nil : elements[head] }

    mutating func append(_ element: Element) {
        precondition(count < elements.count, "a queue of \(elements.count) is full")
        elements[place(count)] = element
        count += 1
    }

    mutating func popFirst() -> Element? {
        guard count > 0, let element = elements[head] else { return nil }
        elements[head] = nil
        head = place(1)
        count -= 1
        return element
    }

    /// Takes out every element that satisfies `condition`; the others keep their order.
    mutating func removeAll(where condition: (Element) -> Bool) {
        for _ in 0..<count {
            guard let element = popFirst() else { return }
            if !condition(element) { append(element) }
        }
    }

    private func place(_ index: Int) -> Int {
        let place = head + index
        return place < elements.count ? place : place - elements.count
    }
}

#endif
