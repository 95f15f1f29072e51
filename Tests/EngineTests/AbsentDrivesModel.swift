// AbsentDrivesModel: a store whose drives come and go, and what its clients may see.
//
// Always holds: the model judges by what was asked and answered alone. A hit is one of the values
// that the key may have; a key that was acknowledged and whose drives have all been there since is
// no miss. A violation is a sentence, so that a planted bug can be expected to yield one.

@testable import Engine
import Sim
import Wire

/// What a key may hold, by what clients were told.
struct KeyHistory {
    /// The last acknowledged state, then every change of unknown outcome since, in order; nil for
    /// no value.
    var candidates: [UInt64?] = [nil]
    /// The value can have been lost: its drive came back empty or is away.
    var mayMiss = false

    mutating func acknowledge(_ value: UInt64?) {
        candidates = [value]
        mayMiss = value == nil
    }

    mutating func leaveInDoubt(_ value: UInt64?) { candidates.append(value) }

    /// Whether a get may answer `value`; if so, what came before it can't come back.
    mutating func accepts(_ value: UInt64?) -> Bool {
        guard let value else { return mayMiss || candidates.contains(nil) }
        guard let place = candidates.firstIndex(of: value) else { return false }
        candidates.removeSubrange(..<place)
        return true
    }
}

/// A seed's story.
final class AbsentDrivesModel {
    struct Settings {
        var drives = 3
        var shards = 2
        var seed: UInt64 = 1
        var rounds = 8
        var stepsPerRound = 40
        var keys: UInt64 = 24
        var changeLimit = Int.max
        /// Power fails, and drives go away while the store serves.
        var hasFaults = true
        /// The drives are served in two parts, apart from each other, and then together.
        var hasForks = false
        #if PLANTED_BUGS
        var bug: PlantedBug?
        #endif
    }

    private let settings: Settings
    private var random: RandomStream
    private var histories: [KeyHistory]
    private var images: [DriveImage]
    private var bench: ShardsBench
    private var absent: Set<Int> = []
    /// The drive that completes no flush for now.
    private var stalled: Int?
    private var round: UInt64 = 0
    /// The drives that know all that was changed: one of them at least is there at every start.
    /// Without them nobody could know.
    private var knowing: Set<Int>
    /// The drives that must all be there at the next start: a new epoch may have been noted by some
    /// of them only, and another begun without them would be its fork.
    private var required: Set<Int> = []
    private var nextValue: UInt64 = 1
    /// Starts and drives fenced so far; what each key's last acknowledged put saw of them.
    private var upheavals = 0
    private var freshness: [UInt64: Int] = [:]
    /// The last get was answered *busy*, rightly.
    private var isTurnedAway = false
    /// Keys last changed while one of their drives was away.
    private var putElsewhere: Set<UInt64> = []
    private(set) var violation: String?
    /// What happened to each key, for the report of a violation.
    private var stories: [UInt64: [String]] = [:]
    /// What was seen, so that a test can tell that its story had a point.
    private(set) var seen: [String: Int] = [:]

    init(_ settings: Settings) throws {
        self.settings = settings
        random = RandomStream(seed: settings.seed, name: "absent drives")
        histories = Array(repeating: KeyHistory(), count: Int(settings.keys))
        let bench = Self.benchSettings(settings, round: 0)
        knowing = Set(0..<settings.drives)
        images = try EngineBench.formatted(bench)
        self.bench = try ShardsBench(bench, shards: settings.shards, images: images)
    }

    private static func benchSettings(_ settings: Settings, round: UInt64) -> BenchSettings {
        var bench = BenchSettings()
        bench.driveCount = settings.drives
        bench.driveBytes = 12 << 20
        bench.slabCount = 64
        bench.seed = settings.seed
        bench.engine.evictionEnabled = false
        bench.engine.changeLimit = settings.changeLimit
        bench.engine.epochEntropy = settings.seed &* 1000 &+ round
        bench.engine.dirtyEntryLimit = 24
        #if PLANTED_BUGS
        bench.engine.plantedBug = settings.bug
        #endif
        return bench
    }

    /// Runs the story; what was wrong, or nil.
    func run() throws -> String? {
        while round < settings.rounds, violation == nil {
            round += 1
            try playRound()
        }
        if violation == nil {
            absent = []
            try start(absent: [])
            if violation == nil { try readAll() }
        }
        return violation.map { "seed \(settings.seed), round \(round): \($0)" }
    }

    private func tell(_ key: UInt64?, _ what: String) {
        let line = "round \(round): \(what)"
        for story in 0..<settings.keys where key == nil || key == story {
            stories[story, default: []].append(line)
        }
    }

    /// Says what is wrong with a key, and how it came to that.
    private func accuse(_ key: UInt64, _ what: String) {
        let story = stories[key, default: []].suffix(30).joined(separator: "\n  ")
        violation = "key \(key) of drives \(drives(of: key)) \(what)\n  \(story)"
    }

    private func note(_ what: String) { seen[what, default: 0] += 1 }

    // MARK: Rounds

    private func playRound() throws {
        if settings.hasForks, required.isEmpty, random.chance(percent: 40) {
            try fork()
            return
        }
        var away: Set<Int> = []
        if random.chance(percent: 75) {
            for drive in 0..<settings.drives where random.chance(percent: 35) {
                away.insert(drive)
            }
        }
        away.subtract(required)
        if knowing.isSubset(of: away), let first = knowing.min() { away.remove(first) }
        required = []
        if settings.hasFaults, random.chance(percent: 25) {
            try crashWhileStarting(absent: away)
            if random.chance(percent: 50) { away = [] }
        }
        try start(absent: away)
        if violation != nil { return }
        if random.chance(percent: 60) { try readAll() }
        knowing = present
        let fenced = settings.hasFaults && random.chance(percent: 40) ? anyDrive() : nil
        let fencedAt = random.below(UInt64(settings.stepsPerRound))
        let stallAt = settings.hasFaults && random.chance(percent: 40) ? fencedAt / 2 : nil
        let stallEnd = fencedAt / 2 + 4 + random.below(UInt64(settings.stepsPerRound))
        for step in 0..<settings.stepsPerRound where violation == nil {
            if let fenced, step == fencedAt {
                fence(fenced)
                if random.chance(percent: 20) {
                    // The power fails while the others note it.
                    required = present
                    try cutPower()
                    return
                }
            }
            if let stallAt, step == stallAt { try stall(anyDrive()) }
            if stalled != nil, step == stallEnd { try endStall() }
            try change()
        }
        // A stall that lasts until the power fails, or ends before the store does.
        if violation == nil, settings.hasFaults, stalled != nil, random.chance(percent: 50) {
            try cutPower()
            return
        }
        try endStall()
        if fenced != nil, !present.isEmpty {
            // Every drive that is left is to know.
            try bench.run("an epoch") { bench.shards.allSatisfy { $0.engine.epochs.isActive } }
            knowing = present
        }
        if violation == nil, random.chance(percent: 60) { try readAll() }
        if violation != nil { return }
        if settings.hasFaults, random.chance(percent: 50) { try cutPower() } else { try stop() }
    }

    /// Two parts of the drives are served apart, each of which knows all that was changed before;
    /// together they show what one of the parts has, and nothing of the other's.
    private func fork() throws {
        let all = Set(0..<settings.drives)
        let one = Set((0..<settings.drives).filter { _ in random.chance(percent: 50) })
        let other = all.subtracting(one)
        guard !knowing.isDisjoint(with: one), !knowing.isDisjoint(with: other) else { return }
        note("fork")
        let before = histories
        var outcomes: [[KeyHistory]] = []
        for part in [one, other] {
            histories = before
            try start(absent: all.subtracting(part))
            for _ in 0..<settings.stepsPerRound / 2 where violation == nil { try change() }
            if violation != nil { return }
            try stop()
            outcomes.append(histories)
        }
        try start(absent: [])
        if violation != nil { return }
        knowing = present
        var found: [UInt64?] = []
        for key in 0..<settings.keys { found.append(try value(of: key)) }
        let survivor = outcomes.first { part in
            var part = part
            return part.indices.allSatisfy {
                part[$0].mayMiss = true
                return part[$0].accepts(found[$0])
            }
        }
        guard let survivor else {
            violation = "\(one) and \(other), served apart, are mixed: \(found.map { $0 ?? 0 })"
            return
        }
        histories = survivor
        for key in histories.indices {
            histories[key].mayMiss = true
            _ = histories[key].accepts(found[key])
        }
        try stop()
    }

    private var present: Set<Int> { Set(0..<settings.drives).subtracting(absent) }

    private func anyDrive() -> Int { Int(random.below(UInt64(settings.drives))) }

    private func open(absent away: Set<Int>) throws {
        let shards = random.chance(percent: 70) ? settings.shards : 1
        bench = try ShardsBench(
            Self.benchSettings(settings, round: round), shards: shards, images: images,
            absent: away)
    }

    private func start(absent away: Set<Int>) throws {
        absent = away
        stalled = nil
        tell(nil, "starts without \(away.sorted())")
        upheavals += 1
        try open(absent: away)
        do { try bench.serve() } catch {
            violation = "it doesn't come to serve: \(error); \(describeDrives())"
            return
        }
        for drive in 0..<settings.drives {
            let (shard, index) = bench.place(of: drive)
            let cells = shard.engine.cells.drives[Int(index.rawValue)]
            if cells.value(DriveCounter.supersededBlocks) > 0 { note("forgot") }
            if cells.value(DriveGauge.strays) > 0 { note("strays") }
            if cells.value(DriveCounter.returnedEmpty) == 0 { continue }
            note("returned empty")
            tell(nil, "drive \(drive) returned empty")
            for key in histories.indices { histories[key].mayMiss = true }
        }
        if !away.isEmpty { note("absent") }
    }

    private func describeDrives() -> String {
        (0..<settings.drives).map { drive in
            let (shard, index) = bench.place(of: drive)
            let state = shard.engine.driveState(index)
            let step = shard.engine.drives[index].recovery.step
            let epoch = shard.engine.drives[index].superblock.lineage.counter
            return "drive \(drive) \(state) \(step) epoch \(epoch) of "
                + "\(shard.engine.epochs.lineage.counter)"
        }.joined(separator: ", ")
    }

    /// The power fails at some moment of a start.
    private func crashWhileStarting(absent away: Set<Int>) throws {
        try open(absent: away)
        bench.step(Int(random.below(400)))
        for drive in 0..<settings.drives {
            let (shard, index) = bench.place(of: drive)
            let isEmptied =
                shard.engine.drives[index].recovery.isEmptied
                || shard.engine.cells.drives[Int(index.rawValue)].value(.returnedEmpty) > 0
            if isEmptied { for key in histories.indices { histories[key].mayMiss = true } }
        }
        note("crash while starting")
        tell(nil, "crashed while starting without \(away.sorted())")
        images = bench.crash(round << 8)
    }

    private func stop() throws {
        try bench.drain()
        images = bench.images
    }

    /// Sends some changes and cuts the power in the midst of them.
    private func cutPower() throws {
        // Best while keys are on their way home.
        let strays = (0..<settings.keys).filter { putElsewhere.contains($0) && isWhole($0) }
        for _ in 0..<random.below(5) {
            let key =
                strays.isEmpty || random.chance(percent: 40)
                ? random.below(settings.keys) : strays[Int(random.below(UInt64(strays.count)))]
            let shard = Int(random.below(UInt64(bench.shardCount)))
            let value = random.chance(percent: 70) ? takeValue() : nil
            if bench.send(order(key, value), to: shard) != nil {
                tell(key, "in doubt: \(value.map(String.init) ?? "deleted")")
                histories[Int(key)].leaveInDoubt(value)
            }
            bench.step(Int(random.below(12)))
        }
        // What was answered in time counts as in doubt too: that only allows more.
        bench.step(Int(random.below(60)))
        note("power cut")
        tell(nil, "power cut")
        images = bench.crash(round << 8 | 1)
    }

    private func fence(_ drive: Int) {
        let (shard, index) = bench.place(of: drive)
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        shard.device.setFaults(faults, of: index)
        absent.insert(drive)
        tell(nil, "drive \(drive) goes away")
        upheavals += 1
        note("fenced")
    }

    /// What is submitted to `drive` from now on completes when the stall ends, flushes alone; a put
    /// that is stuck for long enough shows it.
    private func stall(_ drive: Int) throws {
        guard !absent.contains(drive), settings.drives > 1 else { return }
        let key = (0..<settings.keys).first { drives(of: $0).first == drive }
        guard let key else { return }
        note("stalled")
        tell(nil, "drive \(drive) completes no flush")
        stalled = drive
        setFlush(of: drive, microseconds: 30_000_000)
        try change(key, to: takeValue())
        try bench.pass(milliseconds: 2_500)
    }

    private func endStall() throws {
        guard let drive = stalled else { return }
        setFlush(of: drive, microseconds: 100)
        try bench.pass(milliseconds: 35_000)
        tell(nil, "drive \(drive) completes flushes")
        stalled = nil
    }

    private func setFlush(of drive: Int, microseconds: UInt64) {
        let (shard, index) = bench.place(of: drive)
        var latency = DriveLatency()
        latency.set(.flush, fixedMicroseconds: microseconds, randomMicroseconds: 0)
        shard.device.setLatency(latency, of: index)
    }

    // MARK: Requests

    private func takeValue() -> UInt64 {
        nextValue += 1
        return nextValue
    }

    private func order(_ key: UInt64, _ value: UInt64?) -> RequestOrder {
        guard let value else { return RequestOrder(.tcpDelete, EngineBench.key(key)) }
        let count = value % 5 == 0 ? 9000 : 600
        return RequestOrder(
            .tcpPut, EngineBench.key(key), payload: EngineBench.value(value, count))
    }

    private func change() throws {
        let key = random.below(settings.keys)
        switch random.below(10) {
        case 0..<5: try change(key, to: takeValue())
        case 5..<7: try change(key, to: nil)
        case 7: try race(key)
        default: try read(key)
        }
    }

    private func change(_ key: UInt64, to value: UInt64?) throws {
        let reply = try bench.answer(to: order(key, value))
        settle(key, value, reply.status)
    }

    private func settle(_ key: UInt64, _ value: UInt64?, _ status: Status) {
        tell(key, "\(value.map(String.init) ?? "deleted"): \(status)")
        switch status {
        case .ok, .notFound:
            histories[Int(key)].acknowledge(value)
            freshness[key] = value == nil ? nil : upheavals
            let isAtHome = isWhole(key) && drives(of: key).first != stalled
            if isAtHome { putElsewhere.remove(key) } else { putElsewhere.insert(key) }
            if value != nil, stalled != nil, drives(of: key).first == stalled {
                note("placed elsewhere")
            }
        case .busy where stalled.map(drives(of: key).contains) ?? false: note("turned away")
        // The stalled drive must note that another one is away, before changes that need that.
        case .busy where stalled != nil && !isWhole(key): note("waited")
        case .driveUnavailable:
            note("refused")
            if isPlaceable(key) { accuse(key, "was refused") }
        case .outcomeUnknown: histories[Int(key)].leaveInDoubt(value)
        default: accuse(key, "answered \(status)")
        }
    }

    /// Two puts of a key at once, by different shards; then what came of them.
    private func race(_ key: UInt64) throws {
        let values = [takeValue(), takeValue()]
        var numbers: [RequestNumber] = []
        for (index, value) in values.enumerated() {
            guard let number = bench.send(order(key, value), to: index % bench.shardCount) else {
                continue
            }
            numbers.append(number)
        }
        try bench.run("a race") { numbers.allSatisfy { bench.replies[$0] != nil } }
        let statuses = numbers.compactMap { bench.replies.removeValue(forKey: $0)?.status }
        tell(key, "\(values) at once: \(statuses)")
        for value in values { histories[Int(key)].leaveInDoubt(value) }
        let isAcknowledged = statuses.contains(.ok)
        guard let found = try value(of: key) else {
            if isTurnedAway { return }
            if isAcknowledged, isPlaceable(key), absent.isEmpty {
                accuse(key, "is gone after two puts at once")
            }
            return
        }
        if !histories[Int(key)].accepts(found) {
            accuse(key, "is \(found) after \(values) at once")
        } else if isAcknowledged, !values.contains(found) {
            accuse(key, "is \(found) after \(values) were put at once")
        }
        // Otherwise what was in doubt before is so still.
        guard isAcknowledged else { return }
        histories[Int(key)].candidates = [found]
        // The other one may have been cut short on a drive that went away.
        if statuses.contains(where: { $0 != .ok }) {
            for value in values where value != found { histories[Int(key)].leaveInDoubt(value) }
        }
    }

    /// One of the key's first two drives is there.
    private func isPlaceable(_ key: UInt64) -> Bool { !drives(of: key).allSatisfy(absent.contains) }

    /// The key's first two drives are there.
    private func isWhole(_ key: UInt64) -> Bool { absent.isDisjoint(with: drives(of: key)) }

    /// The numbers of the key's first and second drive.
    private func drives(of key: UInt64) -> [Int] {
        let ranks = bench.shards[0].engine.placement.ranks(of: EngineBench.key(key))
        return [ranks.first, ranks.second].compactMap { $0 }
    }

    /// The number of the value that a get answers; nil for a miss, and when it is turned away:
    /// what must be removed first is on the drive that is stalled.
    private func value(of key: UInt64) throws -> UInt64? {
        let reply = try bench.answer(to: RequestOrder(.tcpGet, EngineBench.key(key)))
        isTurnedAway = reply.status == .busy && stalled != nil
        guard reply.status == .ok, reply.isPayloadWhole else { return nil }
        let bytes = reply.payload
        for count in [600, 9000] where bytes.count == count {
            for number in (1...nextValue).reversed()
            where EngineBench.value(number, 8)[...] == bytes[..<8] {
                if EngineBench.value(number, count) == bytes { return number }
            }
        }
        accuse(key, "has bytes that nobody put")
        return nil
    }

    private func read(_ key: UInt64) throws {
        let found = try value(of: key)
        if violation != nil || isTurnedAway { return }
        // A drive that is away explains a miss, but not of what was put since it went.
        if found == nil, freshness[key] != upheavals,
            drives(of: key).contains(where: absent.contains)
        {
            note("missed while away")
            return
        }
        tell(key, "read \(found.map(String.init) ?? "nothing")")
        let before = histories[Int(key)].candidates
        if !histories[Int(key)].accepts(found) {
            let what = found.map { "is \($0)" } ?? "is gone"
            accuse(key, "\(what), and may be \(before.map { $0 ?? 0 })")
        }
    }

    private func readAll() throws {
        for key in 0..<settings.keys where violation == nil {
            if random.chance(percent: 20) { try lookUp(key) }
            if violation == nil { try read(key) }
            if violation == nil, random.chance(percent: 30) { try lookUp(key) }
        }
    }

    /// What stat and exists say agrees with a get.
    private func lookUp(_ key: UInt64) throws {
        let stat = try bench.answer(to: RequestOrder(.stat, EngineBench.key(key)))
        let words = EngineBench.key(key).littleEndianWords
        let exists = try bench.answer(
            to: RequestOrder(
                operation: .exists, bodyWords: [words[0], words[1], words[2], words[3]]))
        let batch = try bench.answer(
            to: RequestOrder(
                operation: .tcpBatchGet, bodyWords: [words[0], words[1], words[2], words[3]]))
        let found = try value(of: key)
        if isTurnedAway { return }
        let isThere = found != nil
        let existing = exists.bodyWords.first == UInt64(Status.ok.rawValue)
        let inBatch = (batch.bodyWords.first ?? 0) & 0xFF == UInt64(Status.ok.rawValue)
        if (stat.status == .ok) != isThere || existing != isThere || inBatch != isThere {
            accuse(key, "isn't the same for stat, exists, a batch and get")
        }
        if let found, batch.payload.prefix(8) != EngineBench.value(found, 8)[...] {
            accuse(key, "has another value in a batch")
        }
    }
}
