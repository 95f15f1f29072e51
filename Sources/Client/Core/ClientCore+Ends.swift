// How parts end, or don't: the retry rules applied to what a connection or the clock says of them.

internal import Wire

extension ClientCore {
    /// Gives a new part to its server, or answers it when that one is down and it wouldn't wait.
    mutating func place(_ part: Part, on number: Int, now: MonotonicTime) {
        let entry = table[part.slot]
        if entry.policy.downServer == .answerAtOnce,
            servers[number].refusesRequests(now: now)
        {
            return end(part, with: RetryRules.ending(.serverUnavailable, of: part))
        }
        servers[number].add(part, deadline: entry.deadline, now: now)
    }

    /// Ends the items of an answered part that are final and sends the others again.
    mutating func resolve(
        _ part: Part, _ outcome: RequestOutcome, on number: Int, now: MonotonicTime
    ) {
        let entry = table[part.slot]
        var again: [RetryReason: [Int]] = [:]
        var reasons: [RetryReason] = []
        for (position, item) in part.items.enumerated() {
            var ended = outcome.item(at: position)
            #if PLANTED_BUGS
            if configuration.plantedBug == .failedItemCountsAsLoaded, entry.request.isBatchGet,
                ended.status == .ended(.notFound)
            {
                ended = ItemOutcome(status: .ok, valueBytes: 1)
            }
            #endif
            switch RetryRules.decide(ended.status, of: part, entry.request, entry.policy) {
            case .final(let status):
                let bytes = status == .ok ? ended.valueBytes : 0
                end(
                    item, of: part, with: ItemOutcome(status: status, valueBytes: bytes),
                    facts: outcome.facts)
            case .again(let reason):
                if again[reason] == nil { reasons.append(reason) }
                again[reason, default: []].append(item)
            }
        }
        for reason in reasons {
            let items = again[reason] ?? []
            var retried = part.with(items)
            change(&retried, because: reason, hadAll: items.count == part.items.count, now: now)
            place(retried, on: number, now: now)
        }
    }

    /// What a part remembers of an attempt that didn't end it.
    private mutating func change(
        _ part: inout Part, because reason: RetryReason, hadAll: Bool, now: MonotonicTime
    ) {
        switch reason {
        case .connectionLost: break
        case .mayHaveHappened: part.mayHaveHappened = true
        case .damaged: part.damagedCount += 1
        case .noRoom: part.itemsTravelAlone = hadAll
        case .refused(let status):
            part.lastRefusal = status
            part.refusedCount += 1
            let pause = configuration.refused.pauseMicroseconds(
                failures: part.refusedCount, &generator)
            part.notBefore = now.advanced(byMicroseconds: pause)
        }
    }

    mutating func end(_ part: Part, with status: OutcomeStatus) {
        for item in part.items { end(item, of: part, with: ItemOutcome(status: status)) }
    }

    mutating func end(
        _ item: Int, of part: Part, with ended: ItemOutcome, facts: BlockFacts? = nil
    ) {
        if let outcome = table.end(item, of: part.slot, with: ended, facts: facts) {
            ready.append(outcome)
        }
    }
}
