// EventQueue: what is going to happen, ordered by (time, sequence).
//
// Always holds: two events of the same instant leave in the order in which they entered. A binary
// heap of plain words: whoever has more to say of an event keeps it under its number.

package import Engine

/// Events, named by numbers, that wait for their instant.
package struct EventQueue {
    private struct Entry {
        let time: Instant
        let sequence: UInt64
        let event: UInt64

        @inline(__always)
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

    package mutating func push(_ event: UInt64, at time: Instant) {
        let entry = Entry(time: time, sequence: nextSequence, event: event)
        nextSequence += 1
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry.precedes(entries[parent]) else { break }
            entries[child] = entries[parent]
            child = parent
        }
        entries[child] = entry
    }

    /// Takes the first event if it is due at `now`.
    package mutating func popDue(at now: Instant) -> UInt64? {
        guard let first = entries.first, first.time <= now else { return nil }
        let last = entries.removeLast()
        if !entries.isEmpty { sink(last) }
        return first.event
    }

    /// Puts `entry` where the first was, and then where it belongs.
    private mutating func sink(_ entry: Entry) {
        let count = entries.count
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < count else { break }
            if child + 1 < count, entries[child + 1].precedes(entries[child]) { child += 1 }
            guard entries[child].precedes(entry) else { break }
            entries[parent] = entries[child]
            parent = child
        }
        entries[parent] = entry
    }
}
