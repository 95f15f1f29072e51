// Ledger: what clients asked and were told, and from that alone, what they may see.
//
// Always holds: it knows requests, replies and power cuts, and no store's inside. For each key it
// keeps the register's history; a final state is legal when some operation that may have taken
// effect left it and no acknowledged operation was begun after that one had ended (linearizability
// of a register's last value). An operation without an answer, or answered `outcomeUnknown`, may
// have taken effect or not; any other refusal has none. Once a read after recovery has seen a
// state, that state is the only legal one. A miss is otherwise legal only under a permission to
// evict, and only for as many bytes as were permitted.

package import Wire

/// What a key holds: a value's bytes, or nothing.
package enum KeyState: Hashable, Sendable {
    case absent
    case value([UInt8])
}

/// What a read found.
package enum Reading: Hashable, Sendable {
    case hit([UInt8])
    case miss
    /// Any other answer.
    case refused(Status)

    /// For reports, without the bytes.
    package var kind: String {
        switch self {
        case .hit(let bytes): "hit of \(bytes.count) bytes"
        case .miss: "miss"
        case .refused(let status): "refusal (\(status))"
        }
    }
}

/// Requests, replies, and what they entitle to.
package struct Ledger: Sendable {
    private enum Answer: Sendable {
        case none, done, unknown, refused
    }

    private struct Change: Sendable {
        let request: UInt64
        let leaves: KeyState
        let begun: UInt64
        var ended = UInt64.max
        var answer = Answer.none
        var mayHaveTakenEffect: Bool { answer != .refused }
    }

    private struct History: Sendable {
        /// What the key held before the first of `changes`.
        var settled = KeyState.absent
        /// `settled` was seen by a read after a power cut.
        var isSettledByRecovery = false
        var changes: [Change] = []
        /// Every value ever put, to name what a wrong read shows.
        var everPut: [[UInt8]] = []
    }

    /// Keys in the order they were first named.
    package private(set) var keys: [BlockKey] = []
    private var histories: [BlockKey: History] = [:]
    private var requests: [UInt64: BlockKey] = [:]
    private var clock: UInt64 = 0
    private var evictionAllowanceBytes: UInt64 = 0
    /// Grows with every entry; equal revisions of one run are equal ledgers.
    package private(set) var revision: UInt64 = 0

    package init() {}

    // MARK: Entries

    /// A put or delete was sent. `leaves` is the state it asks for; `request` is never used twice.
    package mutating func begun(_ request: UInt64, _ key: BlockKey, leaves: KeyState) {
        precondition(requests[request] == nil, "request \(request) begun twice")
        if histories[key] == nil {
            keys.append(key)
            histories[key] = History()
        }
        tick()
        requests[request] = key
        histories[key]?.changes.append(Change(request: request, leaves: leaves, begun: clock))
        if case .value(let bytes) = leaves { histories[key]?.everPut.append(bytes) }
    }

    /// A put or delete was answered.
    package mutating func answered(_ request: UInt64, _ status: Status) throws(Violation) {
        guard let key = requests[request],
            let place = histories[key]?.changes.firstIndex(where: { $0.request == request })
        else { throw Violation(.answeredTwice, "request \(request) has no entry left") }
        guard histories[key]?.changes[place].answer == Answer.none else {
            throw Violation(.answeredTwice, "request \(request) of key \(name(key))")
        }
        tick()
        let isDelete = histories[key]?.changes[place].leaves == .absent
        let answer: Answer =
            switch status {
            case .ok: .done
            // A delete of a key that holds nothing leaves nothing: it is done.
            case .notFound: isDelete ? .done : .refused
            case .outcomeUnknown: .unknown
            default: .refused
            }
        if isDelete && status == .notFound { try judgeMissingDelete(key, before: place) }
        histories[key]?.changes[place].answer = answer
        histories[key]?.changes[place].ended = answer == .unknown ? .max : clock
    }

    /// From now on the store may evict blocks of `bytes` in total.
    package mutating func permitEviction(bytes: UInt64) {
        tick()
        evictionAllowanceBytes += bytes
    }

    /// A fault that the model allows to cost a block has met `key`: it holds what it held, or
    /// nothing.
    package mutating func mayBeLost(_ key: BlockKey) {
        guard histories[key] != nil else { return }
        tick()
        histories[key]?.changes.append(
            Change(request: 0, leaves: .absent, begun: clock, answer: .unknown))
    }

    // MARK: Judgement

    /// The states `key` may hold, eviction apart.
    package func legalStates(of key: BlockKey) -> [KeyState] {
        guard let history = histories[key] else { return [.absent] }
        return Self.legalStates(of: history, changes: history.changes[...])
    }

    /// Judges a read's finding and takes it for the key's state from now on. To be called when no
    /// change of the key is in progress: after a power cut, or with everything answered.
    package mutating func observe(
        _ key: BlockKey, _ reading: Reading, isAfterPowerCut: Bool
    ) throws(Violation) {
        if let violation = judge(key, reading) { throw violation }
        let state: KeyState
        switch reading {
        case .hit(let bytes): state = .value(bytes)
        case .miss, .refused: state = .absent
        }
        if state == .absent, let lost = smallestLegalValueBytes(of: key) {
            evictionAllowanceBytes -= min(evictionAllowanceBytes, lost)
        }
        tick()
        guard var history = histories[key] else { return }
        for change in history.changes { requests[change.request] = nil }
        history.changes = []
        history.settled = state
        history.isSettledByRecovery = isAfterPowerCut
        histories[key] = history
    }

    /// All keys have been read: nothing may be evicted any more.
    package mutating func endObservation() {
        tick()
        evictionAllowanceBytes = 0
    }

    /// The violation that `reading` of `key` is, or nil.
    package func judge(_ key: BlockKey, _ reading: Reading) -> Violation? {
        let legal = legalStates(of: key)
        switch reading {
        case .refused(let status):
            return Violation(.readRefused, "key \(name(key)) answered \(status)")
        case .miss:
            if legal.contains(.absent) { return nil }
            let lost = smallestLegalValueBytes(of: key) ?? 0
            if evictionAllowanceBytes >= lost { return nil }
            return unexplainedMiss(key)
        case .hit(let bytes):
            if legal.contains(.value(bytes)) { return nil }
            return unexplainedHit(key, bytes, legal)
        }
    }

    /// True when the value's put was acknowledged and nothing acknowledged may have replaced it:
    /// nobody may write over it.
    package func isStanding(_ key: BlockKey, value: [UInt8]) -> Bool {
        guard evictionAllowanceBytes == 0, let history = histories[key] else { return false }
        let done = history.changes.filter { $0.answer == .done }
        guard let newest = done.max(by: { $0.begun < $1.begun }) else {
            return history.settled == .value(value)
        }
        // Of changes in progress together nobody knows which came last: then none of them stands.
        return newest.leaves == .value(value)
            && done.allSatisfy { $0.request == newest.request || $0.ended < newest.begun }
    }

    /// True when a change of `key` has no answer, or one that leaves its outcome open.
    package func isUnfinished(_ key: BlockKey) -> Bool {
        histories[key]?.changes.contains { $0.answer == .none || $0.answer == .unknown } ?? false
    }

    /// A hash of all that matters for judging: equal for equal entitlements.
    package func digest() -> UInt64 {
        var hash = Self.mix(evictionAllowanceBytes)
        for key in keys {
            hash = Self.mix(hash ^ key.mixed(seed: 1))
            for state in legalStates(of: key) {
                guard case .value(let bytes) = state else {
                    hash = Self.mix(hash ^ 0x6162_7365_6E74)
                    continue
                }
                for byte in bytes.prefix(32) { hash = Self.mix(hash ^ UInt64(byte)) }
            }
        }
        return hash
    }

    // MARK: Rules

    private static func legalStates(
        of history: History, changes: ArraySlice<Change>
    ) -> [KeyState] {
        let done = changes.filter { $0.answer == .done }
        var legal: [KeyState] = []
        if done.isEmpty { legal.append(history.settled) }
        for change in changes where change.mayHaveTakenEffect {
            let isSuperseded = done.contains { $0.begun > change.ended }
            if !isSuperseded && !legal.contains(change.leaves) { legal.append(change.leaves) }
        }
        return legal
    }

    /// A delete that found nothing: was there a legal way for the key to hold nothing?
    private func judgeMissingDelete(_ key: BlockKey, before place: Int) throws(Violation) {
        guard let history = histories[key] else { return }
        var others = history.changes
        others.remove(at: place)
        if Self.legalStates(of: history, changes: others[...]).contains(.absent) { return }
        if evictionAllowanceBytes > 0 || others.contains(where: { $0.answer == .none }) { return }
        throw Violation(.acknowledgedBlockLost, "a delete found nothing under \(name(key))")
    }

    private func smallestLegalValueBytes(of key: BlockKey) -> UInt64? {
        let legal = legalStates(of: key)
        if legal.contains(.absent) { return nil }
        return legal.compactMap { state in
            if case .value(let bytes) = state { UInt64(bytes.count) } else { nil }
        }.min()
    }

    private func unexplainedMiss(_ key: BlockKey) -> Violation {
        guard let history = histories[key] else {
            return Violation(.acknowledgedBlockLost, "key \(name(key)) is unknown")
        }
        if evictionAllowanceBytes > 0 {
            return Violation(
                .evictedBeyondPermission,
                "key \(name(key)) is missing and only \(evictionAllowanceBytes) more bytes may be")
        }
        if history.changes.contains(where: { $0.answer == .none || $0.answer == .unknown }) {
            return Violation(
                .previousValueLost,
                "key \(name(key)) misses; an overwrite was unfinished, the value before it stands")
        }
        if history.changes.isEmpty && history.isSettledByRecovery {
            return Violation(
                .outcomeChangedAfterRecovery,
                "key \(name(key)) misses, though a read after recovery had seen its value")
        }
        return Violation(
            .acknowledgedBlockLost, "key \(name(key)) misses, its put was acknowledged")
    }

    private func unexplainedHit(_ key: BlockKey, _ bytes: [UInt8], _ legal: [KeyState]) -> Violation
    {
        guard let history = histories[key], history.everPut.contains(bytes) else {
            for other in keys where other != key {
                if histories[other]?.everPut.contains(bytes) == true {
                    return Violation(
                        .foreignBytesServed, "key \(name(key)) answered with \(name(other))'s value"
                    )
                }
            }
            return Violation(
                .damagedBytesServed,
                "key \(name(key)) answered \(bytes.count) bytes that nobody ever put")
        }
        if history.changes.isEmpty && history.isSettledByRecovery {
            return Violation(
                .outcomeChangedAfterRecovery,
                "key \(name(key)) holds another value than a read after recovery had seen")
        }
        let isRefused = history.changes.contains {
            $0.answer == .refused && $0.leaves == .value(bytes)
        }
        if isRefused {
            return Violation(.refusedValueServed, "key \(name(key)) holds a refused put's value")
        }
        if legal == [.absent] {
            return Violation(.deletedBlockResurrected, "key \(name(key)) holds a deleted value")
        }
        return Violation(.replacedValueServed, "key \(name(key)) holds a value that was replaced")
    }

    private mutating func tick() {
        clock += 1
        revision += 1
    }

    private func name(_ key: BlockKey) -> String {
        "\(key.namespace.rawValue)/" + String(key.hexadecimal.prefix(16))
    }

    private static func mix(_ word: UInt64) -> UInt64 { BlockKey.finalize(word) }
}
