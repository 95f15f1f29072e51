// Judge: the run's book: what clients asked and were told, judged by Judgement's ledger, and what
// the store said of itself meanwhile.
//
// Always holds: it never looks into the store; the first violation stands. In the liveness act
// nothing but a result or a miss is an answer.

internal import Client
internal import Engine
internal import Judgement
internal import Sim
internal import Wire

/// Requests that ended since the last sample.
struct SampleCounts {
    var ended: UInt64 = 0
    /// With a result or a miss.
    var answered: UInt64 = 0
    /// With what was asked for.
    var served: UInt64 = 0
    var othersServed: UInt64 = 0
}

final class Judge {
    /// In the liveness act nobody hurries.
    static let patientMicroseconds: UInt64 = 40_000_000
    /// What an answer may be later than its deadline: the time that a step takes to come.
    private static let slackMicroseconds: UInt64 = 1000

    private unowned let world: World
    private let keys: [BlockKey]
    private var versions: [UInt32]
    private let values: BlockValues
    private(set) var ledger: RegisterLedger
    private(set) var violation: Violation?
    private var nextRequest: UInt64 = 1
    private(set) var requests: UInt64 = 0
    private(set) var requestsEnded: UInt64 = 0
    private(set) var outcomes = [UInt64](repeating: 0, count: OutcomeNames.count)
    private var activity: KeyActivity
    private var isLiveness = false
    private var readBackHits: UInt64 = 0
    /// What the blocks read back must take on the drives, at least.
    private var readBackBytes: UInt64 = 0
    private var reportBeforeReadBack = StoreReport()
    private var newBlocksPut: UInt64 = 0
    private var newBlocksRead: UInt64 = 0
    /// Latencies of requests that ended since the last sample, in microseconds.
    var latencies: [UInt64] = []
    /// Of these, those of keys on other drives than the one that a fault strikes first.
    var othersLatencies: [UInt64] = []
    private var sinceSample = SampleCounts()
    /// The drive that each key lives on; empty where nobody asks.
    private let homes: [Int]
    /// The drive that a fault strikes first.
    var strickenDrive: Int?
    let longestDeadlineMicroseconds: UInt64

    init(workload: WorkloadPlan, world: World, seed: UInt64) {
        self.world = world
        keys = workload.keys
        versions = Array(repeating: 0, count: keys.count)
        values = BlockValues(seed: seed)
        activity = KeyActivity(
            keyCount: workload.keys.count,
            blockSizeBytes: world.server.plan.engine.blockSizeBytes)
        let keyHomes = KeyHomes(seed: seed, driveCount: world.server.plan.driveCount)
        homes =
            world.scenario.expectations.contains(where: \.isAboutOthers)
            ? workload.keys.map { keyHomes.drive(of: $0) } : []
        longestDeadlineMicroseconds =
            workload.clients.map { $0.deadlineMicroseconds.to }.max() ?? 0
        ledger = RegisterLedger(
            keyCount: keys.count,
            allowed: world.scenario.store.isEvictionOn ? .eviction : [])
    }

    func key(_ number: Int) -> BlockKey { keys[number] }

    func allow(_ causes: LossCauses) { ledger.allow(causes) }

    func fail(_ violation: Violation) {
        if self.violation == nil { self.violation = violation }
    }

    // MARK: Beginnings

    func requestBegan() { requests += 1 }

    /// Makes a new value in `memory`.
    func beginPut(
        _ key: Int, lengthBytes: UInt32, _ memory: OwnedBytes, at offset: Int
    ) -> (WorkloadItem, SourceBytes, UInt64) {
        activity.beginPut(key, lengthBytes: lengthBytes, &world.reached)
        versions[key] += 1
        let name = ValueName(
            key: UInt32(key), version: versions[key], lengthBytes: lengthBytes)
        memory.fill(name, of: values, at: offset)
        let value = memory.source.slice(from: offset, count: Int(lengthBytes))
        let checksum = value.xxh3
        let item = WorkloadItem(key: key, request: takeNumber(), name: name)
        ledger.begin(item.request, key: key, leaves: name, checksum: checksum)
        return (item, value, checksum)
    }

    func beginDelete(_ key: Int) -> WorkloadItem {
        activity.beginDelete(key, &world.reached)
        let item = WorkloadItem(key: key, request: takeNumber())
        ledger.begin(item.request, key: key, leaves: nil, checksum: 0)
        return item
    }

    func beginRead(_ key: Int) -> WorkloadItem {
        activity.beginRead(key)
        return WorkloadItem(key: key, begun: ledger.beginRead(key: key))
    }

    private func takeNumber() -> UInt64 {
        nextRequest += 1
        return nextRequest
    }

    // MARK: Ends

    /// A request of a client that has died: its changes may have happened.
    func abandon(_ slot: WorkloadSlot) {
        for item in slot.items {
            activity.end(item)
            if item.request > 0 {
                record { () throws(Violation) in
                    try ledger.end(item.request, key: item.key, status: .outcomeUnknown)
                }
            } else {
                ledger.abandonRead(key: item.key)
            }
        }
    }

    /// Judges a request's end; returns the keys that it found missing.
    func end(
        _ operation: WorkloadOperation, _ slot: WorkloadSlot, _ outcome: RequestOutcome,
        strideBytes: Int
    ) -> [Int] {
        requestsEnded += 1
        sinceSample.ended += 1
        if world.now > slot.deadline.advanced(byMicroseconds: Self.slackMicroseconds) {
            fail(Violation(.answeredLate, "\(operation) ended after its deadline"))
        }
        var missing: [Int] = []
        var isAnswered = true
        var isServed = true
        for (position, item) in slot.items.enumerated() {
            let ended = outcome.item(at: position)
            activity.end(item)
            outcomes[OutcomeNames.place(of: ended.status)] += 1
            if ended.status != .ok { isServed = false }
            if !OutcomeNames.isResult(ended.status) {
                isAnswered = false
                if isLiveness, !isFull(ended.status) {
                    fail(
                        Violation(
                            .notConverged, "without a fault, \(operation) ended \(ended.status)"))
                }
            }
            world.sim.note(
                .answered, item.request, UInt64(item.key),
                UInt64(OutcomeNames.place(of: ended.status)) << 32 | UInt64(ended.valueBytes))
            record { () throws(Violation) in
                let isMissing = try judge(
                    operation, item, ended, outcome, slot.memory, at: position * strideBytes)
                if isMissing { missing.append(item.key) }
            }
        }
        count(slot, isAnswered: isAnswered, isServed: isServed)
        if isServed, !world.isRemotePortUp { world.remoteCounts.endsWithoutPort += 1 }
        world.noteEnd(operation, outcome, missing: missing.count)
        return missing
    }

    private func count(_ slot: WorkloadSlot, isAnswered: Bool, isServed: Bool) {
        let latency = world.now.microseconds(since: slot.began)
        latencies.append(latency)
        if isAnswered { sinceSample.answered += 1 }
        if isServed { sinceSample.served += 1 }
        guard let strickenDrive, !homes.isEmpty,
            slot.items.allSatisfy({ homes[$0.key] != strickenDrive })
        else { return }
        othersLatencies.append(latency)
        if isServed { sinceSample.othersServed += 1 }
    }

    /// A store that may not evict has no space at times, and may say so.
    private func isFull(_ status: OutcomeStatus) -> Bool {
        status == .ended(.noSpace) && !world.scenario.store.isEvictionOn
    }

    private func record(_ body: () throws(Violation) -> Void) {
        do throws(Violation) { try body() } catch { fail(error) }
    }

    private func judge(
        _ operation: WorkloadOperation, _ item: WorkloadItem, _ ended: ItemOutcome,
        _ outcome: RequestOutcome, _ memory: OwnedBytes, at offset: Int
    ) throws(Violation) -> Bool {
        switch operation {
        case .put, .putBatch, .delete, .deleteBatch:
            let status = OutcomeNames.status(of: ended.status)
            try ledger.end(item.request, key: item.key, status: status)
            if isLiveness, operation == .put, status == .ok { newBlocksPut += 1 }
            return false
        case .exists: return try endRead(item, ended.status) { .present }
        case .stat:
            return try endRead(item, ended.status) {
                outcome.facts.map {
                    Finding.hit(lengthBytes: $0.lengthBytes, checksum: $0.checksum)
                } ?? .miss
            }
        case .get, .getBatch:
            if ended.status == .ended(.checksumMismatch) {
                // No byte changes on its way here: the server's answer was wrong.
                throw Violation(
                    .responseChecksumWrong, "key \(item.key): bytes without their checksum")
            }
            guard ended.status == .ok else {
                let miss = operation == .getBatch ? Finding.missOfBatch : .miss
                return try endRead(item, ended.status, missing: miss) { .miss }
            }
            try judgeHit(item, memory, at: offset, lengthBytes: ended.valueBytes)
            return false
        }
    }

    private func judgeHit(
        _ item: WorkloadItem, _ memory: OwnedBytes, at offset: Int, lengthBytes: UInt32
    ) throws(Violation) {
        let length = Int(lengthBytes)
        let checksum = memory.source.slice(from: offset, count: length).xxh3
        let name: ValueName?
        do throws(Violation) {
            name = try ledger.endRead(
                key: item.key, begun: item.begun,
                .hit(lengthBytes: lengthBytes, checksum: checksum))
        } catch {
            guard error.assertion == .damagedBytesServed else { throw error }
            throw foreign(item, memory, offset, length)
        }
        guard let name, memory.holds(name, of: values, at: offset) else {
            throw foreign(item, memory, offset, length)
        }
        if isLiveness {
            readBackHits += 1
            readBackBytes += slotBytes(forLength: UInt64(lengthBytes))
        }
    }

    /// Ends a read by its status; true when it was a miss.
    private func endRead(
        _ item: WorkloadItem, _ status: OutcomeStatus, missing: Finding = .miss,
        found: () -> Finding
    ) throws(Violation) -> Bool {
        switch status {
        case .ok: try ledger.endRead(key: item.key, begun: item.begun, found())
        case .ended(.notFound):
            try ledger.endRead(key: item.key, begun: item.begun, missing)
            return true
        default: ledger.abandonRead(key: item.key)
        }
        return false
    }

    private func foreign(
        _ item: WorkloadItem, _ memory: OwnedBytes, _ offset: Int, _ length: Int
    ) -> Violation {
        guard let origin = memory.origin(values, at: offset, count: length),
            Int(origin.key) < keys.count
        else {
            return Violation(.damagedBytesServed, "key \(item.key): bytes that nobody put")
        }
        if Int(origin.key) == item.key {
            return memory.holds(origin, of: values, at: offset)
                ? Violation(
                    .replacedValueServed,
                    "key \(item.key) holds value \(origin.version), which was replaced")
                : Violation(
                    .damagedBytesServed, "key \(item.key): value \(origin.version), damaged")
        }
        let isOther = keys[Int(origin.key)].namespace != keys[item.key].namespace
        return Violation(
            isOther ? .foreignNamespaceServed : .foreignBytesServed,
            "key \(item.key) answered with key \(origin.key)'s value")
    }

    // MARK: The store's own word

    /// The server's process has ended: what nobody was told of has happened or never will.
    func serverEnded() {
        // A drive that went away just before was never seen by a sample.
        settle(world.server.report)
        ledger.storeEnded()
    }

    /// Compares losses with what was reported; at every sample.
    func settle(_ report: StoreReport) {
        record { () throws(Violation) in try ledger.settle(report) }
        if report.slabsAllocated > report.slabsTotal || report.usedBytes > report.usableBytes {
            fail(
                Violation(
                    .spaceNotConserved,
                    "\(report.usedBytes) bytes used of \(report.usableBytes)"))
        }
        if report.drivesMissing > 0, !ledger.allowed.contains(.absence) {
            fail(
                Violation(
                    .healthDisagrees,
                    "\(report.drivesMissing) drives are reported missing, none was harmed"))
        }
        if report.damagedValues > 0, !ledger.allowed.contains(.damage) {
            fail(
                Violation(
                    .healthDisagrees,
                    "\(report.damagedValues) values are reported damaged, nothing was harmed"))
        }
        let late = world.server.sessionCounts.worstLatenessMicroseconds
        if late > Self.slackMicroseconds {
            fail(Violation(.answeredLate, "the server answered \(late) us after a deadline"))
        }
    }

    func takeSampleCounts() -> SampleCounts {
        defer { sinceSample = SampleCounts() }
        return sinceSample
    }

    // MARK: The liveness act

    func beginLiveness() {}

    func expectHealthy() throws(Violation) {
        isLiveness = true
        let report = world.server.report
        guard report.health == .healthy, report.drivesOnline == report.drivesTotal else {
            throw Violation(
                .notConverged,
                "without a fault and started anew, the store says \(report.health.rawValue)")
        }
    }

    func beginReadBack() {
        readBackHits = 0
        readBackBytes = 0
        reportBeforeReadBack = world.server.report
    }

    /// What a value of `length` takes, as the store documents it: one slot of the smallest size
    /// that holds it, or whole ones of the largest.
    private func slotBytes(forLength length: UInt64) -> UInt64 {
        let largest = UInt64(world.server.plan.engine.blockSizeBytes)
        if length > largest { return (length + largest - 1) / largest * largest }
        var bytes = UInt64(world.server.plan.engine.minimumSlotBytes)
        while bytes < length { bytes *= 2 }
        return bytes
    }

    /// Every key was read: blocks reported and blocks found must agree.
    func endReadBack() throws(Violation) {
        let report = world.server.report
        settle(report)
        if let violation { throw violation }
        if report.blocks < readBackHits {
            throw Violation(
                .blockCountWrong,
                "\(readBackHits) keys were read, the store reports \(report.blocks) blocks")
        }
        let before = reportBeforeReadBack
        if report.damagedValues > before.damagedValues,
            report.quarantinedBytes <= before.quarantinedBytes
        {
            throw Violation(
                .damageNotSetAside,
                "\(report.damagedValues - before.damagedValues) values didn't match, and no slot "
                    + "was set aside")
        }
        // A read that was turned away leaves its block where it is.
        let mayHide =
            !ledger.allowed.isDisjoint(with: [.damage, .emptiedDrive, .absence])
            || report.shedRequests > before.shedRequests
        if !mayHide, report.usedBytes > readBackBytes + report.quarantinedBytes {
            throw Violation(
                .spaceNotConserved,
                "\(report.usedBytes) bytes are in use, the blocks there are take \(readBackBytes)")
        }
        if !mayHide, report.evictions == 0, report.blocks != readBackHits {
            throw Violation(
                .blockCountWrong,
                "\(readBackHits) keys were read, the store reports \(report.blocks) blocks")
        }
    }

    func endNewBlocks() throws(Violation) {
        if let violation { throw violation }
        guard newBlocksPut > 0 || !world.scenario.store.isEvictionOn else {
            throw Violation(.newBlocksRefused, "no new block was taken after the faults")
        }
    }

    /// The end of everything: what a whole run must have come to.
    func judgeEnd() throws(Violation) {
        settle(world.server.report)
        if let violation { throw violation }
        let bound = world.scenario.bounds.missesPerMille
        if ledger.missesOfStanding * 1000 > bound * ledger.readsOfStanding {
            throw Violation(
                .missesBeyondBound,
                "\(ledger.missesOfStanding) of \(ledger.readsOfStanding) reads of standing blocks "
                    + "missed, \(bound) of 1000 are allowed")
        }
        let refused = refusedCount
        let refusalBound = world.scenario.bounds.refusalsPerMille
        if refused * 1000 > refusalBound * max(1, outcomes.reduce(0, +)) {
            throw Violation(
                .refusalsBeyondBound,
                "\(refused) of \(outcomes.reduce(0, +)) answers were neither a result nor a miss")
        }
        let emptied = world.server.report.drivesEmptied
        if let most = world.scenario.bounds.emptiedDrives, emptied > most {
            throw Violation(
                .drivesEmptiedBeyondBound, "\(emptied) drives came back empty, \(most) may")
        }
        try world.log.judgeExpectations()
    }

    var refusedCount: UInt64 {
        outcomes.indices.reduce(0) { sum, place in
            OutcomeNames.isResult(place) ? sum : sum + outcomes[place]
        }
    }
}

/// Outcomes by number, for counts and fingerprints.
enum OutcomeNames {
    static let count = 32

    static func place(of status: OutcomeStatus) -> Int {
        switch status {
        case .ended(let status): Int(status.rawValue)
        case .bufferTooSmall: 24
        case .connectionLost: 25
        case .serverUnavailable: 26
        }
    }

    static func name(_ place: Int) -> String? {
        switch place {
        case 24: "bufferTooSmall"
        case 25: "connectionLost"
        case 26: "serverUnavailable"
        default: Status(rawValue: UInt8(place)).map { "\($0)" }
        }
    }

    static func isResult(_ status: OutcomeStatus) -> Bool { isResult(place(of: status)) }

    static func isResult(_ place: Int) -> Bool {
        place == Int(Status.ok.rawValue) || place == Int(Status.notFound.rawValue)
    }

    /// What a change's outcome says of the key: nothing was changed unless it says otherwise.
    static func status(of outcome: OutcomeStatus) -> Status {
        if case .ended(let status) = outcome { status } else { .busy }
    }
}
