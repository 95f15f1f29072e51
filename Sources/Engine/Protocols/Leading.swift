// Leading: what the shard that has a request's client does beside sending the request to the key's
// drive: it looks for strays, removes the older of two entries, and sends a change that a drive
// going out has cut short to the key's next drive.
//
//   get      lookingSecond ─ nothing ─► main, at the first drive
//                 └─ found ─► lookingFirst ─ nothing ─► main, at the second
//                                  └─ found too ─► removingOlder ─► main, at the newer
//   put      lookingSecond ─► main, at the first, listed when found ─► removingStray ─► answered
//            main, at the first, stalled and without the key ─► main, at the second
//                 ─► lookingFirst ─ nothing ─► answered
//                          └─ found ─► removingStray, its own ─► answered
//   delete   removingStray, at the second ─► main, at the first ─► answered
//
// Only main while the key's second drive can have no strays, or the first one is out. Always holds:
// one thing at a time, so nobody who is asked ever asks somebody else; a value is shown only when
// every older entry of its key is durably gone; a put or a delete is acknowledged only then. A
// change that a drive refuses because it is out begins anew; drives only go out, so that ends. A
// put is made once.

import Wire

/// How often a get looks anew for what it had found and then didn't get.
private let searchLimit: UInt8 = 3

/// What a led operation is doing.
enum Leg: UInt8, Sendable {
    case unrouted, main, lookingSecond, lookingFirst, removingOlder, removingStray
}

/// The part of an operation that leads.
struct Lead: Sendable {
    var leg = Leg.unrouted
    /// The key's first and second drive; where the entry to be removed is.
    var first = DriveHome(shard: ShardIndex(0), drive: DriveIndex(0))
    var second = DriveHome(shard: ShardIndex(0), drive: DriveIndex(0))
    var removal = DriveHome(shard: ShardIndex(0), drive: DriveIndex(0))
    /// What is older than this is removed.
    var bound = Version(0)
    var secondVersion = Version(0)
    /// A lookup has found the key.
    var isFound = false
    /// Times that a get has looked anew.
    var searches: UInt8 = 0
    /// A stray has been removed for a delete.
    var hasRemovedStray = false
    /// A change has been made or asked for.
    var hasChanged = false
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// True when `index` is to go on with its own work; otherwise a leg before or after it was
    /// asked for, or it has ended.
    mutating func isOnMainLeg(_ index: OperationIndex) -> Bool {
        guard let leg = operations[index].lead?.leg else { return true }
        switch leg {
        case .main: return true
        case .unrouted:
            if operations[index].kind == .get, awaitsEpoch(route(of: operations[index].key)) {
                waitForEpoch(index)
                return false
            }
            lead(index)
        case .lookingSecond, .lookingFirst, .removingOlder, .removingStray: break
        }
        if operations[index].lead?.leg == .main { return true }
        askForLeg(index)
        return false
    }

    /// Says where the key of `index` is and what comes first.
    private mutating func lead(_ index: OperationIndex) {
        let route = route(of: operations[index].key)
        operations[index].shard = route.home.shard
        operations[index].drive = route.home.drive
        var lead = operations[index].lead ?? Lead()
        lead.first = route.home
        lead.isFound = false
        lead.leg = .main
        operations[index].replacesStray = false
        if let stray = route.stray {
            lead.second = stray
            switch operations[index].kind {
            case .get, .put: lead.leg = .lookingSecond
            case .remove:
                lead.leg = .removingStray
                lead.removal = stray
                lead.bound = Version(.max)
            default: break
            }
        }
        operations[index].lead = lead
    }

    private mutating func askForLeg(_ index: OperationIndex) {
        if giveUpEarly(index) { return }
        guard let lead = operations[index].lead else { preconditionFailure("a leg of nobody") }
        let isAsked: Bool
        switch lead.leg {
        case .lookingSecond: isAsked = call(.lookup, for: index, at: lead.second)
        case .lookingFirst: isAsked = call(.lookup, for: index, at: lead.first)
        case .removingOlder, .removingStray:
            isAsked = call(.removeOlder(than: lead.bound), for: index, at: lead.removal)
            if isAsked, operations[index].kind != .get { operations[index].lead?.hasChanged = true }
        case .unrouted, .main: preconditionFailure("a leg that asks nobody")
        }
        if isAsked {
            operations[index].state = .forwarded
            operations[index].handedOver = now
        }
    }

    /// Has something done about the key of `index` by the shard that has `home`, this one or
    /// another; false when `index` must wait for that.
    private mutating func call(
        _ kind: PeerRequest.Kind, for index: OperationIndex, at home: DriveHome
    ) -> Bool {
        guard home.shard == place.shard else { return ask(kind, for: index, item: 0, at: home) }
        guard let child = operations.take(kind.operationKind, leaving: 0) else {
            operations.append(index, to: &itemWaiters)
            return false
        }
        describe(
            child, request(kind, for: index, item: 0, at: home), from: place.shard)
        operations.append(child, to: &ready)
        return true
    }

    /// A leg has ended as `reply` says.
    mutating func legEnded(_ index: OperationIndex, _ reply: PeerReply) {
        precondition(operations[index].state == .forwarded, "a reply nobody waits for")
        guard var lead = operations[index].lead else { preconditionFailure("a leg of nobody") }
        operations[index].state = .begun
        let isDone = reply.status == .ok || reply.status == .notFound
        let isOut = reply.status == .driveUnavailable || reply.status == .outcomeUnknown
        guard isDone || isOut else {
            // Too late, or turned away: nothing is known of the older entry.
            operations[index].lead = nil
            let isMade = operations[index].kind == .put && lead.leg != .lookingSecond
            finish(index, isMade ? .outcomeUnknown : reply.status)
            return
        }
        switch lead.leg {
        case .lookingSecond where isOut:
            guard route(of: operations[index].key).isSecondOut else {
                // What can't be looked up may be there, and newer than what would be put or shown.
                operations[index].lead = nil
                finish(index, operations[index].kind == .put ? .busy : .notFound)
                return
            }
            lead.leg = .unrouted
        case .lookingSecond where operations[index].kind == .put:
            lead.leg = .main
            operations[index].replacesStray = reply.status == .ok
            if reply.status == .ok { operations[index].versionFloor = reply.version.next }
        case .lookingSecond:
            lead.secondVersion = reply.version
            lead.leg = reply.status == .ok ? .lookingFirst : .main
        case .lookingFirst where operations[index].kind == .put && reply.status == .ok:
            // Put there since: this one was before it.
            lead.leg = .removingStray
            lead.removal = lead.second
            lead.bound = lead.secondVersion.next
        case .lookingFirst where operations[index].kind == .put,
            .removingStray where operations[index].kind == .put:
            guard isDone else {
                leaveInDoubt(index)
                return
            }
            // All of the put is done.
            operations[index].lead = nil
            finish(index, .ok)
            return
        case .lookingFirst:
            lead.leg = reply.status == .ok ? .removingOlder : .main
            lead.isFound = true
            var isSecondNewer = lead.secondVersion > reply.version
            #if PLANTED_BUGS
            if isPlanted(.lowerVersionWins) { isSecondNewer.toggle() }
            #endif
            let isAtSecond = reply.status != .ok || isSecondNewer
            let home = isAtSecond ? lead.second : lead.first
            lead.removal = isAtSecond ? lead.first : lead.second
            // Of two of one version, put at the same time, the first drive's stays.
            lead.bound = isSecondNewer ? lead.secondVersion : reply.version.next
            #if PLANTED_BUGS
            if isPlanted(.lowerVersionWins) { lead.bound = Version(.max) }
            #endif
            operations[index].shard = home.shard
            operations[index].drive = home.drive
        case .removingOlder: lead.leg = isDone ? .main : .unrouted
        case .removingStray:
            lead.hasRemovedStray = lead.hasRemovedStray || reply.status == .ok
            lead.leg = isDone ? .main : .unrouted
        case .unrouted, .main: preconditionFailure("a reply to no leg")
        }
        operations[index].lead = lead
        operations.append(index, to: &ready)
    }

    /// The main leg of `index` has ended with `status`; true when the operation goes on.
    mutating func goesOn(_ index: OperationIndex, after status: Status) -> Bool {
        guard let lead = operations[index].lead, lead.leg == .main, !isOver(index) else {
            return false
        }
        let kind = operations[index].kind
        if kind != .get, status == .driveUnavailable,
            route(of: operations[index].key).home != lead.first
        {
            beginAnew(index)
            return true
        }
        switch (kind, status) {
        case (.put, .ok): return resolve(index, lead)
        case (.put, .busy):
            guard let floor = operations[index].elsewhere else { return false }
            return goesElsewhere(index, from: floor)
        case (.remove, .notFound) where lead.hasRemovedStray:
            operations[index].lead = nil
            finish(index, .ok)
            return true
        case (.remove, _) where lead.hasRemovedStray && status != .ok:
            leaveInDoubt(index)
            return true
        case (.get, .notFound) where lead.isFound && !operations[index].isPlanned:
            // It has moved, or its bytes were damaged; or its drive reads nothing for now, however
            // often it is asked. What a batch has planned for is a miss then.
            guard lead.searches < searchLimit else { return false }
            operations[index].lead?.searches += 1
            beginAnew(index)
            return true
        default: return false
        }
    }

    /// The first drive of a put's key is stalled and has nothing of it: the second is next, so that
    /// the key is there while the first one can't say for how long it will be stalled. An older
    /// stray is replaced there.
    private mutating func goesElsewhere(_ index: OperationIndex, from floor: Version) -> Bool {
        let ranks = placement.ranks(of: operations[index].key)
        seeOuts()
        guard let second = ranks.second, !epochs.isOut(ranks.first), !epochs.isOut(second) else {
            return false
        }
        prepareAnew(index)
        let home = placement.home(ofMember: second)
        operations[index].shard = home.shard
        operations[index].drive = home.drive
        operations[index].replacesStray = false
        operations[index].versionFloor = max(operations[index].versionFloor, floor)
        operations.append(index, to: &ready)
        return true
    }

    /// A put is durable: what another one may have made of its key on the other drive is next. Both
    /// look after they are durable, so one of them sees the other.
    private mutating func resolve(_ index: OperationIndex, _ lead: Lead) -> Bool {
        #if PLANTED_BUGS
        if isPlanted(.straysNotRemoved) { return false }
        #endif
        let home = DriveHome(shard: operations[index].shard, drive: operations[index].drive)
        let version = operations[index].entry.version
        var next = lead
        next.hasChanged = true
        if home != lead.first {
            // The first drive, stalled, had nothing when it turned this put away.
            next.leg = .lookingFirst
            next.second = home
            next.secondVersion = version
        } else {
            let route = route(of: operations[index].key)
            guard let stray = route.stray else {
                // None is left.
                let isHome = route.home == lead.first && !route.isSecondOut
                if !operations[index].replacesStray || isHome { return false }
                leaveInDoubt(index)
                return true
            }
            next.leg = .removingStray
            next.removal = stray
            // One that came there since may have a higher version. When this drive goes out, what
            // is put there in the next epoch stays.
            next.bound = Version(before: version.epoch + 1).next
        }
        operations[index].lead = next
        operations[index].state = .begun
        operations.append(index, to: &ready)
        return true
    }

    /// A drive of the key went out after the put was made. It isn't made once more: that could undo
    /// a change made since, which readers have seen. The older entry that it leaves behind is
    /// forgotten when its drive returns.
    private mutating func leaveInDoubt(_ index: OperationIndex) {
        operations[index].lead = nil
        finish(index, .outcomeUnknown)
    }

    /// Nobody waits for `index` any more.
    private func isOver(_ index: OperationIndex) -> Bool {
        let parent = operations[index].parent
        return operations[parent == .none ? index : parent].isAnswered
    }

    private mutating func beginAnew(_ index: OperationIndex) {
        prepareAnew(index)
        operations[index].lead?.leg = .unrouted
        operations.append(index, to: &ready)
    }

    private mutating func prepareAnew(_ index: OperationIndex) {
        operations[index].state = .begun
        operations[index].hasPrevious = false
        operations[index].previous = .none
        operations[index].hadNothing = false
        operations[index].deviceError = nil
        operations[index].elsewhere = nil
    }
}
