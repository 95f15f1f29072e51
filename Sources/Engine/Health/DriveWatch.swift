// DriveWatch: looks at every drive ten times a second: what is late, what is slow, does it answer.
//
//   well ──an operation is late (250 ms)──► lagging: beyond its share, requests are shed
//     lagging ──a write or flush for 2 s──► writesStalled: changes are shed, reads go on
//     lagging ──a read for 2 s──► unresponsive: everything is shed ──for 60 s──► fenced
//     stalled or unresponsive ──nothing late for 1 s──► well
//   well ◄──Slowness──► slow      well ◄──MediaErrors──► mediaErrors
//
// Always holds: a drive is never fenced for being slow, nor, once it serves, for a write or flush
// that it doesn't finish while its reads are answered. A request in hand of a stalled drive is
// answered early (a change: outcomeUnknown; a read: a miss) and its memory stays the kernel's until
// the operation completes. A probe is a read of a superblock, A first and B when that fails: a
// drive that can read neither is fenced.

import Wire

/// What the watch knows of one drive.
struct DriveWatch: Sendable {
    var impairments: DriveImpairments = []
    var fence: FenceCause?
    /// Something takes longer than it should; not yet long enough to be called an impairment.
    var isLagging = false
    /// In the last second an operation took a tenth of what makes a drive a lagging one.
    var isTardy = false
    var lastTardy = Instant(nanoseconds: 0)
    /// Since when nothing has been late.
    var calmSince = Instant(nanoseconds: 0)
    var isProbing = false
    var nextProbe = Instant(nanoseconds: 0)
    var slowness = Slowness()
    var mediaErrors = MediaErrors()
}

/// When the watch looks next.
struct WatchTimes: Sendable {
    var nextLook = Instant(nanoseconds: 0)
    var nextSecond = Instant(nanoseconds: 0)
    var lastStep = Instant(nanoseconds: 0)
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    private var limits: WatchLimits { configuration.watch }

    /// When the drives must be looked at; never while there is nothing to see.
    var nextLookAtDrives: Instant {
        if device.inFlight > 0 || !epochWaiters.isEmpty { return watchTimes.nextLook }
        var next = Instant.never
        for index in 0..<drives.count where drives[index].state == .online {
            let watch = drives[index].watch
            if !watch.impairments.isEmpty || watch.isLagging { return watchTimes.nextLook }
            if limits.heartbeatMicroseconds > 0 { next = min(next, watch.nextProbe) }
        }
        return max(next, watchTimes.nextLook)
    }

    /// A shard that gets its turn so late can't tell how quick its drives are.
    private var latenessMicroseconds: UInt64 { 5_000 }

    /// `afterWork`: the last step had work.
    mutating func watchDrives(afterWork hadWork: Bool) {
        // A step that had work is followed by the next one at once, if the processor is had.
        let pause = now.microseconds(since: watchTimes.lastStep)
        if hadWork, pause > latenessMicroseconds { device.dropLatencies() }
        watchTimes.lastStep = now
        guard now >= watchTimes.nextLook else { return }
        let late = now.microseconds(since: watchTimes.nextLook)
        if late > 1_000_000 {
            device.excuse(now: now)
        } else if late > latenessMicroseconds, device.inFlight > 0 {
            // With nothing in flight nobody had asked for a turn.
            device.dropLatencies()
        }
        watchTimes.nextLook = now.advanced(byMicroseconds: limits.lookMicroseconds)
        let endsSecond = now >= watchTimes.nextSecond
        if endsSecond { watchTimes.nextSecond = now.advanced(byMicroseconds: 1_000_000) }
        for index in 0..<drives.count {
            let drive = DriveIndex(UInt16(index))
            switch drives[drive].state {
            case .online, .recovering:
                look(at: drive)
                if endsSecond { judgeSecond(of: drive) }
            case .offline: answerStuck(on: drive, device.oldest(on: drive))
            case .absent: break
            }
        }
        answerStuckElsewhere()
        // Those that are too late give up; all do when a drive that they wait for is stalled.
        operations.move(&epochWaiters, to: &ready)
    }

    private mutating func look(at drive: DriveIndex) {
        let oldest = device.oldest(on: drive)
        let readAge = now.microseconds(since: oldest.read ?? now)
        let changeAge = now.microseconds(since: oldest.change ?? now)
        // All others wait for a drive that isn't through yet; nothing of it has been acknowledged.
        let isStarting = drives[drive].state == .recovering || isReturning(drive)
        let hangAge = isStarting ? max(readAge, changeAge) : readAge
        if hangAge >= limits.hangMicroseconds, !isHangTolerated {
            fence(drive, .unresponsive)
            return
        }
        let wasLagging = drives[drive].watch.isLagging
        // A discard may take its time; but slots whose discards don't end don't come back.
        let discardAge = now.microseconds(since: oldest.discard ?? now)
        drives[drive].watch.isLagging =
            max(readAge, changeAge) >= limits.lagMicroseconds
            || discardAge >= limits.stallMicroseconds
        if drives[drive].watch.isLagging { drives[drive].watch.calmSince = now }
        if max(readAge, changeAge) >= limits.lagMicroseconds / 10 {
            drives[drive].watch.lastTardy = now
            drives[drive].watch.isTardy = true
        } else if now.microseconds(since: drives[drive].watch.lastTardy) > 1_000_000 {
            drives[drive].watch.isTardy = false
        }
        guard drives[drive].state == .online else { return }
        var impairments = drives[drive].watch.impairments
        let calm = now.microseconds(since: drives[drive].watch.calmSince)
        var isCalm = calm >= limits.calmMicroseconds
        #if PLANTED_BUGS
        if isPlanted(.impairmentNeverEnds) { isCalm = false }
        #endif
        if isCalm {
            impairments.subtract([.writesStalled, .unresponsive])
        }
        if changeAge >= limits.stallMicroseconds { impairments.insert(.writesStalled) }
        if readAge >= limits.stallMicroseconds { impairments.insert(.unresponsive) }
        drives[drive].watch.mediaErrors.leak(now: now)
        set(.mediaErrors, drives[drive].watch.mediaErrors.areMany, in: &impairments)
        set(.slow, drives[drive].watch.slowness.isSlow, in: &impairments)
        let isWorse = !impairments.isSubset(of: drives[drive].watch.impairments)
        if impairments != drives[drive].watch.impairments {
            hasWorked = true
            drives[drive].watch.impairments = impairments
            noteStanding(of: drive)
        }
        let isLate = drives[drive].watch.isLagging && !wasLagging
        if isWorse || isLate || !mayWait(for: drive) { releaseWaiters(of: drive) }
        if impairments.contains(.writesStalled) || impairments.contains(.unresponsive) {
            answerStuck(on: drive, oldest)
        }
        pumpProbe(drive)
    }

    private var isHangTolerated: Bool {
        #if PLANTED_BUGS
        return isPlanted(.hungDriveNeverFenced)
        #else
        return false
        #endif
    }

    private func set(
        _ impairment: DriveImpairments, _ isSet: Bool, in impairments: inout DriveImpairments
    ) {
        if isSet { impairments.insert(impairment) } else { impairments.remove(impairment) }
    }

    /// Tells the other shards how `drive` is.
    func noteStanding(of drive: DriveIndex) {
        place.post.board.note(
            drives[drive].watch.impairments, of: place.driveNumbers[Int(drive.rawValue)])
    }

    // MARK: Slowness

    private mutating func judgeSecond(of drive: DriveIndex) {
        let (reads, writes) = device.closeSecond(on: drive)
        guard drives[drive].state == .online, reads != nil || writes != nil else { return }
        let worst = max(
            judge(reads, isWrite: false, of: drive), judge(writes, isWrite: true, of: drive))
        if worst == .usual { device.learn(on: drive) }
        #if PLANTED_BUGS
        if isPlanted(.slowDriveNeverFlagged) { return }
        #endif
        drives[drive].watch.slowness.note(
            worst, seconds: max(reads?.seconds ?? 0, writes?.seconds ?? 0))
    }

    private func judge(
        _ closed: LatencyTrack.Closed?, isWrite: Bool, of drive: DriveIndex
    ) -> LatencyVerdict {
        guard let closed else { return .usual }
        let number = place.driveNumbers[Int(drive.rawValue)]
        let peers = place.post.board.peers(isWrite: isWrite, besides: number, now: now)
        if let ratio = closed.window.ratio {
            place.post.board.note(ratio: ratio, isWrite: isWrite, of: number, now: now)
        }
        return LatencyVerdict(closed.window, peers: peers)
    }

    // MARK: Probes

    private mutating func pumpProbe(_ drive: DriveIndex) {
        let isImpaired =
            drives[drive].watch.isLagging || !drives[drive].watch.impairments.isEmpty
        let pause =
            isImpaired ? limits.probeMicroseconds : limits.heartbeatMicroseconds
        guard pause > 0, !drives[drive].watch.isProbing, now >= drives[drive].watch.nextProbe else {
            return
        }
        drives[drive].watch.nextProbe = now.advanced(byMicroseconds: pause)
        probe(drive, copy: 0)
    }

    /// Asks a drive for a superblock, to see whether it answers.
    mutating func probe(_ drive: DriveIndex, copy: Int) {
        hasWorked = true
        drives[drive].watch.isProbing = true
        device.submit(
            .read, on: drive,
            at: copy == 0 ? FormatConstants.superblockA : FormatConstants.superblockB,
            memory: drives[drive].memory.probe, for: .probe(copy: copy), now: now)
    }

    /// Something failed: is it the drive? Who waits for the answer stands in `probeWaiters`.
    mutating func suspect(_ drive: DriveIndex) {
        guard drives[drive].state == .online, !drives[drive].watch.isProbing else { return }
        probe(drive, copy: 0)
    }

    /// A place of the drive can't be read.
    mutating func noteMediaError(on drive: DriveIndex) {
        cells.drives[Int(drive.rawValue)].add(to: .mediaErrors)
        drives[drive].watch.mediaErrors.note(now: now)
    }

    mutating func probed(_ copy: Int, on drive: DriveIndex, _ error: DeviceError?) {
        drives[drive].watch.isProbing = false
        guard drives[drive].state == .online else { return }
        switch error {
        case nil: operations.move(&drives[drive].probeWaiters, to: &ready)
        case .gone: fence(drive)
        default: if copy == 0 { probe(drive, copy: 1) } else { fence(drive) }
        }
    }

    // MARK: Letting go

    /// Wakes everybody who waits for `drive` without having anything in flight there, to be turned
    /// away or to wait again.
    mutating func releaseWaiters(of drive: DriveIndex) {
        operations.move(&drives[drive].spaceWaiters, to: &ready)
        operations.move(&drives[drive].frameWaiters, to: &ready)
        operations.move(&drives[drive].shareWaiters, to: &ready)
        if drives[drive].state != .online {
            operations.move(&drives[drive].probeWaiters, to: &ready)
        }
        for frame in 0..<drives[drive].leaves.frameCount {
            var waiters = drives[drive].leaves.takeWaiters(of: frame)
            operations.move(&waiters, to: &ready)
        }
        for place in 0..<operations.count {
            let index = OperationIndex(Int32(place))
            guard operations[index].isActive, operations[index].drive == drive,
                !isForeign(index), operations[index].holdsKey
            else { continue }
            var waiters = locks.takeWaiters(of: operations[index].key)
            operations.move(&waiters, to: &ready)
        }
    }

    /// Answers the requests that `drive` has had in hand for as long as makes it a stalled one.
    private mutating func answerStuck(on drive: DriveIndex, _ oldest: OldestOperations) {
        guard oldest.read != nil || oldest.change != nil else { return }
        for place in 0..<operations.count {
            let index = OperationIndex(Int32(place))
            guard operations[index].isActive, operations[index].drive == drive,
                !isForeign(index)
            else { continue }
            answerIfStuck(index, isReading: oldest.read != nil)
        }
    }

    private mutating func answerIfStuck(_ index: OperationIndex, isReading: Bool) {
        guard operations[index].request != nil, !operations[index].isAnswered,
            now.microseconds(since: operations[index].handedOver) >= limits.stallMicroseconds
        else { return }
        if operations[index].kind == .put, operations[index].lead?.leg == .lookingSecond { return }
        let status: Status
        switch (operations[index].kind, operations[index].state) {
        case (.put, .moving), (.put, .awaitingFlush), (.put, .voiding), (.put, .awaitingVoid),
            (.remove, .awaitingFlush), (.put, .forwarded), (.remove, .forwarded):
            status = .outcomeUnknown
        case (.get, .moving) where isReading, (.get, .forwarded) where isReading:
            status = .notFound
        default: return
        }
        hasWorked = true
        cells.add(to: .earlyResponses)
        answerEarly(index, status)
    }

    /// The same for requests that another shard's stalled drive has.
    private mutating func answerStuckElsewhere() {
        guard peers.count > 1, phase == .serving || phase == .draining else { return }
        let roster = place.post.roster
        for number in 0..<roster.driveCount {
            let drive = DriveNumber(UInt16(number))
            let impairments = place.post.board.impairments(of: drive)
            guard impairments.contains(.writesStalled) || impairments.contains(.unresponsive) else {
                continue
            }
            let home = roster.announcement(of: drive).home
            if home.shard == place.shard { continue }
            for operation in 0..<operations.count {
                let index = OperationIndex(Int32(operation))
                guard operations[index].isActive, operations[index].shard == home.shard,
                    operations[index].drive == home.drive
                else { continue }
                answerIfStuck(index, isReading: impairments.contains(.unresponsive))
            }
        }
    }
}
