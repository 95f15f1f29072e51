// RegisterLedger: judges a run with many requests in progress, from requests, replies and what the
// store says of itself in public. It knows nothing of the store's inside.
//
// Always holds
//  - A hit shows exactly one value that the register may hold (Register.swift); whether the bytes
//    are that value's is compared by the caller, with `BlockValues`.
//  - A miss is explained by the register (nothing was put, a delete, a change of unknown outcome
//    apart: it leaves what was there), or counts as a loss: then a fault or an eviction that the
//    run allows must be in the store's public counters, at least as often as blocks were found
//    lost. Losses are compared with the counters at `settle`, a little later, since a counter is
//    published when its step ends.
//  - A request is answered once.

package import Wire

/// What a read found.
package enum Finding: Hashable, Sendable {
    case hit(lengthBytes: UInt32, checksum: UInt64)
    /// The key is there; nothing else was asked.
    case present
    case miss
    /// A miss of a batch, whose answer is planned before it is read: a value that was replaced
    /// meanwhile doesn't fit the plan any more.
    case missOfBatch
}

/// The judge of a run's keys, which are named by their numbers.
package struct RegisterLedger: Sendable {
    private var registers: [Register]
    private var clock: UInt64 = 0
    /// What may cost a block in this run, from now on.
    package private(set) var allowed: LossCauses
    private var pendingLosses = 0
    /// The key found lost last.
    private var lastLost = 0
    package private(set) var lossesFound: UInt64 = 0
    /// Of these, found while a drive was reported missing: the block may be back with it.
    package private(set) var absencesFound: UInt64 = 0
    /// Reads whose key held something, for all that was known.
    package private(set) var readsOfStanding: UInt64 = 0
    package private(set) var missesOfStanding: UInt64 = 0
    package private(set) var judgedCount: UInt64 = 0
    private var hadMissingDrive = false
    /// At the last settlement.
    private var shedBefore: UInt64 = 0
    /// Changes of unknown outcome that a read has seen, and such that can't be seen any more.
    package private(set) var unknownHappened: UInt64 = 0
    package private(set) var unknownDidNotHappen: UInt64 = 0

    package init(keyCount: Int, allowed: LossCauses) {
        registers = Array(repeating: Register(), count: keyCount)
        self.allowed = allowed
    }

    package mutating func allow(_ causes: LossCauses) { allowed.formUnion(causes) }

    /// The order's next moment.
    private mutating func tick() -> Tick {
        clock += 1
        return Tick(clock)
    }

    // MARK: Changes

    /// A put or delete (`leaves` nil) is sent. `request` is never used twice.
    package mutating func begin(
        _ request: UInt64, key: Int, leaves: ValueName?, checksum: UInt64
    ) {
        let now = tick()
        registers[key].begin(request, leaves: leaves, checksum: checksum, at: now)
    }

    /// It was answered.
    package mutating func end(
        _ request: UInt64, key: Int, status: Status
    ) throws(Violation) {
        judgedCount += 1
        guard let place = registers[key].place(of: request) else {
            throw Violation(.answeredTwice, "request \(request) of key \(key)")
        }
        let now = tick()
        let change = registers[key].changes[place]
        let isDelete = change.leaves == nil
        let answer: RegisterChange.Answer =
            switch status {
            case .ok: .done
            case .notFound: isDelete ? .done : .refused
            case .outcomeUnknown: .unknown
            default: .refused
            }
        if isDelete, status == .notFound, !mayBeAbsent(key, since: change.begun, except: place) {
            noteLoss(of: key)
        }
        guard registers[key].end(place, as: answer, at: now) else {
            throw Violation(
                .refusedValueServed, "key \(key): a read saw a put that was answered \(status)")
        }
    }

    /// The power was cut, or the process ended: what nobody was told of has happened or never will.
    package mutating func storeEnded() {
        let now = tick()
        for key in registers.indices { registers[key].settleUnknown(at: now) }
    }

    // MARK: Reads

    /// A read of `key` is sent; to be given to its end.
    package mutating func beginRead(key: Int) -> Tick {
        registers[key].beginRead()
        return tick()
    }

    /// A read that told nothing has ended.
    package mutating func abandonRead(key: Int) {
        judgedCount += 1
        registers[key].endRead()
    }

    /// It found something; returns the name of the value that a hit must be.
    @discardableResult
    package mutating func endRead(
        key: Int, begun: Tick, _ finding: Finding
    ) throws(Violation) -> ValueName? {
        judgedCount += 1
        let now = tick()
        defer { registers[key].endRead() }
        let mayBeAbsent = mayBeAbsent(key, since: begun)
        if !mayBeAbsent { readsOfStanding += 1 }
        switch finding {
        case .missOfBatch where wasChanged(key, since: begun): return nil
        case .miss, .missOfBatch:
            if !mayBeAbsent {
                missesOfStanding += 1
                noteLoss(of: key)
            }
            return nil
        case .present:
            guard registers[key].mayBeSeen(since: begun, { $0.leaves != nil }) != nil else {
                throw Violation(.deletedBlockResurrected, "key \(key) exists, deleted or never put")
            }
            return nil
        case .hit(let lengthBytes, let checksum):
            let seen = registers[key].mayBeSeen(since: begun) {
                $0.checksum == checksum && $0.leaves?.lengthBytes == lengthBytes
            }
            guard let seen else { throw unexplained(key, begun, lengthBytes, checksum) }
            let name = registers[key].changes[seen].leaves
            let changes = registers[key].changes
            if changes[seen].answer == .unknown { unknownHappened += 1 }
            for place in changes.indices where place != seen {
                if changes[place].answer == .unknown, changes[place].effectiveBy < begun {
                    unknownDidNotHappen += 1
                }
            }
            registers[key].see(seen, since: begun, at: now)
            return name
        }
    }

    /// Whether a change of `key` may have taken effect after `begun`.
    private func wasChanged(_ key: Int, since begun: Tick) -> Bool {
        registers[key].changes.contains { $0.effectiveBy > begun }
    }

    private func mayBeAbsent(_ key: Int, since begun: Tick, except place: Int? = nil) -> Bool {
        let changes = registers[key].changes
        return changes.indices.contains {
            $0 != place && changes[$0].leaves == nil && changes[$0].supersededAt > begun
        }
    }

    private func unexplained(
        _ key: Int, _ begun: Tick, _ lengthBytes: UInt32, _ checksum: UInt64
    ) -> Violation {
        let changes = registers[key].changes
        let isKnown = changes.contains {
            $0.checksum == checksum && $0.leaves?.lengthBytes == lengthBytes
        }
        if isKnown {
            return Violation(.replacedValueServed, "key \(key) holds a value that was replaced")
        }
        if changes.allSatisfy({ $0.leaves == nil }) {
            return Violation(
                .deletedBlockResurrected, "key \(key) holds \(lengthBytes) bytes and was deleted")
        }
        return Violation(
            .damagedBytesServed,
            "key \(key) holds \(lengthBytes) bytes that no standing change of it put")
    }

    // MARK: Losses

    private mutating func noteLoss(of key: Int) {
        if registers[key].isCountedLost { return }
        registers[key].isCountedLost = true
        pendingLosses += 1
        lastLost = key
    }

    /// Compares the blocks found lost since the last call with what the store has reported.
    package mutating func settle(_ report: StoreReport) throws(Violation) {
        let isMissing = report.drivesMissing > 0
        let hasShed = report.shedRequests > shedBefore
        defer {
            hadMissingDrive = isMissing
            shedBefore = report.shedRequests
        }
        guard pendingLosses > 0 else { return }
        let found = UInt64(pendingLosses)
        pendingLosses = 0
        if allowed.contains(.absence), isMissing || hadMissingDrive {
            absencesFound += found
            return
        }
        // The block is where it was, and nobody waited for it.
        if allowed.contains(.shedding), hasShed {
            absencesFound += found
            return
        }
        lossesFound += found
        if allowed.contains(.emptiedDrive), report.drivesEmptied > 0 { return }
        var reported: UInt64 = 0
        if allowed.contains(.eviction) { reported += report.evictions }
        if allowed.contains(.damage) { reported += report.doubts }
        guard lossesFound > reported else { return }
        if reported > 0 {
            throw Violation(
                .evictedBeyondPermission,
                "\(lossesFound) blocks were found lost, the store reports \(reported)")
        }
        throw Violation(
            .acknowledgedBlockLost,
            "\(found) blocks that had been acknowledged are missing and nothing was reported; the "
                + "last was key \(lastLost)")
    }

    /// Keys that hold a value for all that is known now, and that aren't known as lost.
    package var standingCount: Int {
        registers.count { register in
            !register.isCountedLost && register.changes.allSatisfy { $0.leaves != nil }
        }
    }
}
