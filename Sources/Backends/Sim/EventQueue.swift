// EventQueue: what is going to happen, ordered by (time, sequence).
//
// Always holds: two events of the same instant leave in the order in which they entered. A binary
// heap.

package import Engine

/// Events that wait for their instant.
package struct EventQueue<Event> {
    private struct Entry {
        let time: Instant
        let sequence: UInt64
        let event: Event
        func precedes(_ other: Entry) -> Bool {
            time != other.time ? time < other.time : sequence < other.sequence
        }
    }
    private var entries: [Entry] = []
    private var nextSequence: UInt64 = 0

    package init() {}

    package var isEmpty: Bool { entries.isEmpty }

    /// When the first event is due; nil when there is none.
    package var nextTime: Instant? { entries.first?.time }

    package mutating func push(_ event: Event, at time: Instant) {
        entries.append(Entry(time: time, sequence: nextSequence, event: event))
        nextSequence += 1
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].precedes(entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes the first event if it is due at `now`.
    package mutating func popDue(at now: Instant) -> Event? {
        guard let first = entries.first, first.time <= now else { return nil }
        entries.swapAt(0, entries.count - 1)
        entries.removeLast()
        var parent = 0
        while true {
            var earliest = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < entries.count && entries[child].precedes(entries[earliest]) {
                earliest = child
            }
            if earliest == parent { break }
            entries.swapAt(parent, earliest)
            parent = earliest
        }
        return first.event
    }
}
