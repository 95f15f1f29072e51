// Scenario: worlds made to order, each for one kind of damage that the plain enumeration reaches
// too rarely.
//
// Always holds: a scenario is a demand on a correct store, so it must pass on the engine; a planted
// bug must fail it by the assertion that the table of hunts names.

import Engine
import Judgement
import Sim
import Wire

/// One kind of world.
package enum Scenario: String, CaseIterable, Sendable {
    /// Every workload of up to two steps, both pacings, crashed at every instant.
    case powerCuts = "power-cuts"
    /// A store so full that freed slots are wanted at once.
    case crowdedStore = "crowded-store"
    /// One superblock rots, at every instant of workloads with checkpoints.
    case superblockRot = "superblock-rot"
    /// The journal's ring goes round while old blocks are deleted.
    case journalLaps = "journal-laps"
    /// Journal blocks in flight together, one of them lost with valid ones behind it.
    case journalHoles = "journal-holes"
    /// Sectors of values rot.
    case bitRot = "bit-rot"
    /// Many records in one journal block, torn everywhere.
    case tornTails = "torn-tails"
    /// Both superblocks say that they are of a newer format.
    case newerFormat = "newer-format"
    /// Each operation of a workload fails in turn, or the drive goes away there.
    case failingOperations = "failing-operations"
}

extension Scenario {
    /// `settings` with what the scenario needs otherwise.
    package func adapted(_ settings: CrashSettings) -> CrashSettings {
        var adapted = settings
        switch self {
        case .crowdedStore:
            adapted.isEvictionEnabled = false
            adapted.supportsDiscard = false
            // A full store refuses new blocks, and rightly.
            adapted.aftercareInterval = .max
        case .journalLaps:
            // Discarded slots would hide what a stale record resurrects.
            adapted.supportsDiscard = false
        case .powerCuts, .superblockRot, .journalHoles, .bitRot, .tornTails, .newerFormat,
            .failingOperations:
            break
        }
        return adapted
    }
}

extension Enumeration where Store: ~Copyable {
    /// Runs `scenario`; throws the first violation.
    package mutating func run(_ scenario: Scenario) throws(FoundViolation) {
        switch scenario {
        case .powerCuts: try runPowerCuts()
        case .crowdedStore: try runCrowdedStore()
        case .superblockRot: try runSuperblockRot()
        case .journalLaps: try runJournalLaps()
        case .journalHoles: try runJournalHoles()
        case .bitRot: try runBitRot()
        case .tornTails: try runTornTails()
        case .newerFormat: try runNewerFormat()
        case .failingOperations: try runFailingOperations()
        }
    }

    private mutating func runPowerCuts() throws(FoundViolation) {
        for pacing in Pacing.allCases {
            for workload in Workload.all(depth: 2) { try walk(workload, pacing: pacing) }
        }
    }

    // MARK: A crowded store

    /// Fills the store, then lets deletes and puts that need each other's slots go together.
    private mutating func runCrowdedStore() throws(FoundViolation) {
        let points = try recordedScenario { session, _ throws(Violation) in
            var random = RandomStream(seed: session.settings.seed, name: "crowded store")
            var present: [UInt64] = []
            var number: UInt64 = 500
            while present.count < 200 {
                number += 1
                let key = WorkloadRun.key(number)
                try session.put(
                    key, StampedValue.bytes(number: number, count: WorkloadRun.largeBytes))
                try session.run(until: .answered)
                guard session.ledger.legalStates(of: key) != [.absent] else { break }
                present.append(number)
            }
            for _ in 0..<12 where present.count > 2 {
                for _ in 0..<2 {
                    let gone = present.remove(at: Int(random.below(UInt64(present.count))))
                    try session.delete(WorkloadRun.key(gone))
                }
                for _ in 0..<2 {
                    number += 1
                    try session.put(
                        WorkloadRun.key(number),
                        StampedValue.bytes(number: number, count: WorkloadRun.largeBytes))
                    present.append(number)
                }
                try session.run(until: .idle)
                present.removeAll {
                    session.ledger.legalStates(of: WorkloadRun.key($0)) == [.absent]
                }
            }
            _ = try session.readBack(isAfterPowerCut: false)
        }
        try sample(points, every: 40, "crowded store")
    }

    // MARK: Superblock rot

    /// At many instants, each superblock in turn, the other one whole.
    private mutating func runSuperblockRot() throws(FoundViolation) {
        let points = try recordedScenario { session, _ throws(Violation) in
            try streamThroughCheckpoints(session)
        }
        try rot(points, scenarioPlace)
        let workloads = [
            "put,checkpoint,put", "delete,checkpoint,multi", "overwrite,checkpoint,checkpoint",
            "checkpoint,delete,checkpoint",
        ].compactMap { Workload($0) }
        for workload in workloads {
            for pacing in Pacing.allCases {
                let points = try recorded(workload, pacing: pacing)
                try rot(points, CrashPlace(workload: workload, pacing: pacing))
            }
        }
    }

    /// Rots at every instant at which the copies differ durably, and at some others.
    private mutating func rot(
        _ points: [CrashPoint], _ place: CrashPlace
    ) throws(FoundViolation) {
        let superblocks = try started(place).formatted
        for (index, point) in points.enumerated() {
            let image = point.state.durableImages[0]
            let contents = superblocks.map { $0.map { image[$0].checksum } }
            if contents.allSatisfy({ $0 == contents[0] }), !index.isMultiple(of: 16) { continue }
            var place = place
            place.point = index
            try rotEachSuperblock(at: point, place)
        }
    }

    private mutating func rotEachSuperblock(
        at point: CrashPoint, _ place: CrashPlace
    ) throws(FoundViolation) {
        let superblocks = try started(place).formatted
        let sectors = point.state.unflushedSectors()
        // The other copy must be whole, before or after its write; both damaged is beyond the
        // demand.
        let old = sectors.map { _ in SectorOutcome.version(0) }
        let withOldSuperblocks = sectors.map { sector in
            superblocks.contains { $0.contains(sector.sector) } ? .version(0) : sector.newest
        }
        for (copy, rotten) in superblocks.enumerated() {
            for outcomes in [sectors.map(\.newest), old, withOldSuperblocks] {
                var images = point.state.resolved(
                    sectors, as: outcomes, garbageSeed: settings.seed)
                for sector in rotten {
                    images[0][sector] = .noise(
                        seed: settings.seed ^ sector, count: settings.logicalBlockBytes)
                }
                counts.images += 1
                let words = circumstances(point, sectors, outcomes)
                _ = try inspect(
                    images, point.ledger, place, "superblock \(copy) rotten, " + words,
                    as: .blockLostWithOneSuperblock)
            }
        }
    }

    // MARK: Journal laps

    /// Puts and deletes enough to go round the ring several times, one block of journal each.
    private mutating func runJournalLaps() throws(FoundViolation) {
        let points = try recordedScenario { session, _ throws(Violation) in
            var number: UInt64 = 500
            for _ in 0..<4 {
                let first = number + 1
                for _ in 0..<7 {
                    number += 1
                    try session.put(
                        WorkloadRun.key(number),
                        StampedValue.bytes(number: number, count: WorkloadRun.smallBytes))
                    try session.run(until: .idle)
                }
                session.checkpoint()
                try session.run(until: .idle)
                for gone in first..<first + 6 {
                    try session.delete(WorkloadRun.key(gone))
                    try session.run(until: .idle)
                }
                session.checkpoint()
                try session.run(until: .idle)
            }
        }
        try sample(points, every: 3, "journal laps")
    }

    // MARK: Journal holes

    private mutating func runJournalHoles() throws(FoundViolation) {
        let points = try recordedScenario { session, start throws(Violation) in
            var number: UInt64 = 500
            for _ in 0..<2 {
                for place in 0..<6 {
                    number += 1
                    let key = place < 2 ? start.keys[place] : WorkloadRun.key(number)
                    try session.put(
                        key, StampedValue.bytes(number: number, count: WorkloadRun.smallBytes))
                    try session.nudge()
                }
                try session.run(until: .idle)
            }
        }
        for (index, point) in points.enumerated() {
            var place = scenarioPlace
            place.point = index
            let sectors = point.state.unflushedSectors()
            for (choice, outcomes) in OutcomePlan.mirrorHoles(sectors).enumerated() {
                place.outcome = choice
                counts.images += 1
                _ = try inspect(
                    point.state.resolved(sectors, as: outcomes, garbageSeed: settings.seed),
                    point.ledger, place,
                    "journal holes: " + circumstances(point, sectors, outcomes))
            }
        }
    }

    // MARK: Torn tails

    /// Batches of small changes, whose records share blocks, torn in many ways.
    private mutating func runTornTails() throws(FoundViolation) {
        let points = try recordedScenario { session, start throws(Violation) in
            var number: UInt64 = 500
            for _ in 0..<3 {
                for place in 0..<12 {
                    number += 1
                    let key = place < start.keys.count ? start.keys[place] : WorkloadRun.key(number)
                    try session.put(key, StampedValue.bytes(number: number, count: 600))
                }
                try session.run(until: .idle)
            }
        }
        try sample(points, every: 1, "torn tails")
    }

    // MARK: Bit rot

    /// Flips a bit of each standing value in turn: it must not be served, and nothing else may
    /// change.
    private mutating func runBitRot() throws(FoundViolation) {
        let place = scenarioPlace
        let start = try started(place)
        for key in start.keys {
            guard case .value(let value)? = start.ledger.legalStates(of: key).first,
                let number = StampedValue.number(in: value)
            else { continue }
            let image = start.images[0]
            guard
                let sector = image.firstWritten(
                    in: 0..<image.sectorCount,
                    where: { StampedValue.number(in: $0.bytes) == number })
            else { continue }
            for position in [20, 300] {
                var images = start.images
                images[0][sector] = image[sector].flipped(at: position, mask: 0x10)
                counts.images += 1
                do throws(Violation) {
                    try readWithRot(of: key, images, start)
                } catch {
                    throw FoundViolation(
                        violation: error, place: place,
                        circumstances: "bit \(position * 8 + 4) of sector \(sector) flipped")
                }
            }
        }
    }

    private func readWithRot(
        of rotten: BlockKey, _ images: [DriveImage], _ start: StartingPoint
    ) throws(Violation) {
        let session = StoreSession<Store>(
            settings: settings, images: images, ledger: start.ledger, memory: memory,
            incarnation: 3, values: start.values)
        try session.run(until: .serving)
        for key in start.keys {
            let reading = try session.read(key)
            if case .hit = reading {} else if key == rotten { continue }
            try session.observe(key, reading)
        }
    }

    // MARK: A newer format

    /// Both superblocks carry the next version, with right checksums: refused, and nothing written.
    private mutating func runNewerFormat() throws(FoundViolation) {
        let place = scenarioPlace
        let start = try started(place)
        var images = start.images
        for range in start.formatted {
            let sectors = range.map { images[0][$0].bytes }
            let renewed = NewerSuperblock.bytes(from: sectors.flatMap { $0 })
            for (index, sector) in range.enumerated() {
                let unit = settings.logicalBlockBytes
                images[0][sector] = SectorBytes(Array(renewed[index * unit..<(index + 1) * unit]))
            }
        }
        counts.images += 1
        let session = StoreSession<Store>(
            settings: settings, images: images, ledger: start.ledger, memory: memory,
            incarnation: 3, values: start.values)
        var isRefused = false
        do throws(Violation) {
            try session.run(until: .serving)
        } catch { isRefused = error.assertion == .storeRefusedAfterPowerCut }
        let isUntouched =
            session.device.crashState().unflushedSectors().isEmpty
            && session.device.durableImage(of: DriveIndex(0)).contentHash == images[0].contentHash
        if isRefused && isUntouched { return }
        throw FoundViolation(
            violation: Violation(
                .newerFormatAccepted,
                isRefused ? "refused, yet the drive was written" : "the store serves it"),
            place: place, circumstances: "both superblocks say the next version")
    }

    // MARK: Common

    var scenarioPlace: CrashPlace {
        CrashPlace(workload: Workload([]), pacing: .oneAtATime)
    }

    mutating func started(_ place: CrashPlace) throws(FoundViolation) -> StartingPoint {
        do throws(Violation) {
            return try startingPoint()
        } catch {
            throw FoundViolation(violation: error, place: place, circumstances: "before any crash")
        }
    }

    private mutating func recordedScenario(
        _ work: (StoreSession<Store>, StartingPoint) throws(Violation) -> Void
    ) throws(FoundViolation) -> [CrashPoint] {
        do throws(Violation) {
            return try record(startingPoint(), work)
        } catch {
            throw FoundViolation(
                violation: error, place: scenarioPlace, circumstances: "before any crash")
        }
    }

    /// Crashes at every so-manieth point with a sample of outcomes: none, all, and some by chance.
    private mutating func sample(
        _ points: [CrashPoint], every interval: Int, _ name: String
    ) throws(FoundViolation) {
        for index in stride(from: 0, to: points.count, by: interval) {
            let point = points[index]
            var place = scenarioPlace
            place.point = index
            let sectors = point.state.unflushedSectors()
            var plan = [sectors.map { _ in SectorOutcome.version(0) }]
            if !sectors.isEmpty {
                plan.append(sectors.map(\.newest))
                plan += OutcomePlan.sample(
                    sectors, count: settings.sampleLimit, seed: settings.seed, UInt64(index))
            }
            for outcomes in plan {
                counts.images += 1
                let images = point.state.resolved(
                    sectors, as: outcomes, garbageSeed: settings.seed)
                _ = try inspect(
                    images, point.ledger, place,
                    name + ": " + circumstances(point, sectors, outcomes))
            }
        }
    }
}

/// More changes than the journal's ring holds, on a drive whose flushes are slow: checkpoints begin
/// by themselves, the ring is full while they last, and what they free is wanted at once.
private func streamThroughCheckpoints<Store: StoreUnderTest & ~Copyable>(
    _ session: StoreSession<Store>
) throws(Violation) {
    var latency = DriveLatency()
    latency.set(.write, fixedMicroseconds: 20, randomMicroseconds: 60)
    latency.set(.flush, fixedMicroseconds: 4000, randomMicroseconds: 2000)
    session.device.setLatency(latency, of: DriveIndex(0))
    for number in UInt64(500)..<560 {
        while session.unansweredCount >= 14 { try session.passTime() }
        try session.put(
            WorkloadRun.key(500 + number % 20),
            StampedValue.bytes(number: number, count: WorkloadRun.smallBytes))
        try session.passTime()
    }
    try session.run(until: .answered)
    try session.run(until: .idle)
}
