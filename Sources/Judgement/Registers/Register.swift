// Register: what one key may hold, from the changes that were asked for, their answers and what
// reads have seen.
//
// Always holds: a change is listed as long as a read that is in progress, or a later one, may see
// it. A read that began at `b` may see a change unless it was superseded before `b`: by an
// acknowledged change that began after it had taken effect, or by a read that saw another one and
// began after that. (The conditions are those of a linearizable register: Herlihy and Wing, TOPLAS
// 12(3), 1990. What they allow is never called wrong; of two changes in progress together, that
// reads see them by turns isn't noticed.)

private import Wire

/// A moment in a run's order of requests and replies.
package struct Tick: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static let never = Tick(.max)
    package static func < (left: Tick, right: Tick) -> Bool { left.rawValue < right.rawValue }
}

/// A change of a key: a value, or nothing in its place.
struct RegisterChange: Sendable {
    enum Answer: Hashable, Sendable { case none, done, unknown, refused }

    let request: UInt64
    /// nil for a delete.
    let leaves: ValueName?
    let checksum: UInt64
    let begun: Tick
    /// It has taken effect by then, or never will.
    var effectiveBy = Tick.never
    /// Reads that begin later don't see it.
    var supersededAt = Tick.never
    var answer = Answer.none
    var wasSeen = false
}

/// One key's history, as far as it still matters.
struct Register: Sendable {
    /// The first is what the key held before: nothing.
    private(set) var changes = [
        RegisterChange(
            request: 0, leaves: nil, checksum: 0, begun: Tick(0), effectiveBy: Tick(0),
            answer: .done)
    ]
    /// Reads in progress.
    private(set) var readers = 0
    /// The block was found missing and counted so; cleared by the next value.
    var isCountedLost = false

    mutating func begin(
        _ request: UInt64, leaves: ValueName?, checksum: UInt64, at tick: Tick
    ) {
        changes.append(
            RegisterChange(request: request, leaves: leaves, checksum: checksum, begun: tick))
    }

    func place(of request: UInt64) -> Int? {
        changes.firstIndex { $0.request == request && $0.answer == .none }
    }

    /// Ends a change; false when a refused one had been seen.
    mutating func end(_ place: Int, as answer: RegisterChange.Answer, at tick: Tick) -> Bool {
        changes[place].answer = answer
        switch answer {
        case .none: preconditionFailure("an end without an answer")
        case .done:
            changes[place].effectiveBy = min(changes[place].effectiveBy, tick)
            supersede(at: tick, except: place) { [begun = changes[place].begun] in
                $0.effectiveBy < begun
            }
            if changes[place].leaves != nil { isCountedLost = false }
        case .unknown: break
        case .refused:
            let wasSeen = changes[place].wasSeen
            changes.remove(at: place)
            return !wasSeen
        }
        prune()
        return true
    }

    /// Whatever was given up before this has taken effect or never will: the store is another one
    /// now.
    mutating func settleUnknown(at tick: Tick) {
        for place in changes.indices where changes[place].answer == .unknown {
            changes[place].effectiveBy = min(changes[place].effectiveBy, tick)
        }
    }

    mutating func beginRead() { readers += 1 }

    mutating func endRead() {
        readers -= 1
        prune()
    }

    /// Changes that a read which began at `begun` may see.
    func mayBeSeen(since begun: Tick, _ condition: (RegisterChange) -> Bool) -> Int? {
        changes.indices.last { changes[$0].supersededAt > begun && condition(changes[$0]) }
    }

    /// A read from `begun` to `tick` saw the change at `place`.
    mutating func see(_ place: Int, since begun: Tick, at tick: Tick) {
        changes[place].wasSeen = true
        changes[place].effectiveBy = min(changes[place].effectiveBy, tick)
        let seenBegun = changes[place].begun
        supersede(at: tick, except: place) {
            $0.effectiveBy < begun || $0.effectiveBy < seenBegun
        }
        isCountedLost = false
    }

    private mutating func supersede(
        at tick: Tick, except place: Int, where condition: (RegisterChange) -> Bool
    ) {
        for other in changes.indices where other != place && condition(changes[other]) {
            changes[other].supersededAt = min(changes[other].supersededAt, tick)
        }
    }

    private mutating func prune() {
        // A delete in progress is judged like a read: it may find nothing.
        guard readers == 0, changes.count > 1,
            !changes.contains(where: { $0.answer == .none })
        else { return }
        changes.removeAll { $0.supersededAt != .never }
    }
}
