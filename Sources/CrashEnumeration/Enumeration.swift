// Enumeration: workload by workload, instant by instant, subset by subset: crash, recover, judge;
// crash again inside the recovery, recover, judge.
//
// Always holds: the order is fixed, every image of a workload is judged once (equal images with
// equal ledgers are one), and each is named by (workload, pacing, point, outcome [, second point,
// outcome]).

import Engine
package import Judgement
package import Sim
import Wire

/// Where in an enumeration something happened.
package struct CrashPlace: Hashable, Sendable {
    package var workload: Workload
    package var pacing: Pacing
    /// Index of the crash point; nil while the workload itself runs.
    package var point: Int?
    package var outcome: Int?
    package var secondPoint: Int?
    package var secondOutcome: Int?

    package init(
        workload: Workload, pacing: Pacing, point: Int? = nil, outcome: Int? = nil,
        secondPoint: Int? = nil, secondOutcome: Int? = nil
    ) {
        self.workload = workload
        self.pacing = pacing
        self.point = point
        self.outcome = outcome
        self.secondPoint = secondPoint
        self.secondOutcome = secondOutcome
    }

    /// The arguments that repeat it.
    package var arguments: String {
        var text = "--workload \(workload) --pacing \(pacing.rawValue)"
        if let point { text += " --point \(point)" }
        if let outcome { text += " --outcome \(outcome)" }
        if let secondPoint { text += " --second-point \(secondPoint)" }
        if let secondOutcome { text += " --second-outcome \(secondOutcome)" }
        return text
    }
}

/// A violation and where it was found.
package struct FoundViolation: Error, Sendable {
    package let violation: Violation
    package let place: CrashPlace
    /// The instant and the sectors' outcomes, in words.
    package let circumstances: String
}

/// What an enumeration has gone through.
package struct CrashCounts: Sendable {
    package var workloads = 0
    package var instants = 0
    package var crashPoints = 0
    package var images = 0
    package var equalImages = 0
    package var secondCrashes = 0
    package var recoveries = 0
    /// Changes unfinished at a crash that recovery found done, and not done: both must be seen.
    package var unfinishedLanded = 0
    package var unfinishedLost = 0
}

/// Walks through workloads on one kind of store.
package struct Enumeration<Store: StoreUnderTest & ~Copyable> {
    package let settings: CrashSettings
    package internal(set) var counts = CrashCounts()
    package internal(set) var fingerprint = Fingerprint()
    /// Only what this names is walked: parts that are nil are walked wholly.
    package var only: CrashPlace?
    /// When set, any other violation of a recovery is passed over: what a hunt looks for.
    package var wanted: Assertion?
    let memory: SimulatedMemory
    private var start: StartingPoint?

    /// A store with a few blocks, powered off.
    struct StartingPoint {
        let images: [DriveImage]
        let ledger: Ledger
        let keys: [BlockKey]
        let values: ValueBook
        /// The stretches of drive 0 that formatting wrote, in sectors, in their order.
        let formatted: [Range<UInt64>]
    }

    package init(settings: CrashSettings) {
        self.settings = settings
        memory = SimulatedMemory(
            length: MemoryPlan(
                settings: settings, privateBytes: Store.privateMemory(for: settings.engine)
            ).length)
    }

    /// Walks through one workload; throws the first violation.
    package mutating func walk(_ workload: Workload, pacing: Pacing) throws(FoundViolation) {
        let place = CrashPlace(workload: workload, pacing: pacing)
        let points = try recorded(workload, pacing: pacing)
        var seen: Set<UInt64> = []
        for (index, point) in points.enumerated() where only?.point ?? index == index {
            var place = place
            place.point = index
            try walk(point, at: place, &seen)
        }
    }

    // MARK: The first crash

    private mutating func walk(
        _ point: CrashPoint, at place: CrashPlace, _ seen: inout Set<UInt64>
    ) throws(FoundViolation) {
        let sectors = point.state.unflushedSectors()
        let plan = OutcomePlan.all(
            for: sectors, settings: settings, crash: UInt64(place.point ?? 0))
        for (index, outcomes) in plan.enumerated() where only?.outcome ?? index == index {
            var place = place
            place.outcome = index
            let images = point.state.resolved(sectors, as: outcomes, garbageSeed: settings.seed)
            guard seen.insert(identity(images, point.ledger)).inserted else {
                counts.equalImages += 1
                continue
            }
            counts.images += 1
            let words = circumstances(point, sectors, outcomes)
            guard let finding = try inspect(images, point.ledger, place, words) else { continue }
            counts.unfinishedLanded += finding.landed
            counts.unfinishedLost += finding.lost
            try walk(finding, after: point, words, place, &seen)
        }
    }

    // MARK: The second crash

    private mutating func walk(
        _ first: Inspection<Store>.Finding, after point: CrashPoint, _ words: String,
        _ place: CrashPlace,
        _ seen: inout Set<UInt64>
    ) throws(FoundViolation) {
        for index in chosen(first.recovery.count, place)
        where only?.secondPoint ?? index == index {
            let second = first.recovery[index]
            let sectors = second.state.unflushedSectors()
            let plan = OutcomePlan.sample(
                sectors, count: sectors.isEmpty ? 1 : settings.secondCrashSampleLimit,
                seed: settings.seed, UInt64(index) << 16 | UInt64(place.outcome ?? 0))
            for (choice, outcomes) in plan.enumerated()
            where only?.secondOutcome ?? choice == choice {
                var place = place
                place.secondPoint = index
                place.secondOutcome = choice
                let images = second.state.resolved(
                    sectors, as: outcomes, garbageSeed: ~settings.seed)
                guard seen.insert(identity(images, point.ledger)).inserted else {
                    counts.equalImages += 1
                    continue
                }
                counts.images += 1
                counts.secondCrashes += 1
                _ = try inspect(
                    images, point.ledger, place,
                    words + "; in the recovery " + circumstances(second, sectors, outcomes),
                    expected: first.readings)
            }
        }
    }

    /// Which of a recovery's crash points are tried: all, or a sample.
    private func chosen(_ count: Int, _ place: CrashPlace) -> [Int] {
        if count <= settings.secondCrashLimit { return Array(0..<count) }
        if settings.secondCrashLimit == 0 { return [] }
        var random = RandomStream(
            seed: settings.seed, name: "second crash",
            incarnation: UInt64(place.point ?? 0) << 20 | UInt64(place.outcome ?? 0))
        var drawn: [Int] = []
        while drawn.count < settings.secondCrashLimit {
            let index = Int(random.below(UInt64(count)))
            if !drawn.contains(index) { drawn.append(index) }
        }
        return drawn.sorted()
    }

    // MARK: Runs

    /// The crash points of a workload that starts from the starting point.
    mutating func recorded(
        _ workload: Workload, pacing: Pacing
    ) throws(FoundViolation) -> [CrashPoint] {
        do throws(Violation) {
            let points = try record(startingPoint()) { session, start throws(Violation) in
                var run = WorkloadRun(present: start.keys, number: 100)
                try run.perform(workload, pacing: pacing, on: session)
            }
            counts.workloads += 1
            return points
        } catch {
            throw FoundViolation(
                violation: error, place: CrashPlace(workload: workload, pacing: pacing),
                circumstances: "before any crash")
        }
    }

    mutating func inspect(
        _ images: [DriveImage], _ ledger: Ledger, _ place: CrashPlace, _ circumstances: String,
        expected: [Reading]? = nil, as renamed: Assertion? = nil
    ) throws(FoundViolation) -> Inspection<Store>.Finding? {
        let inspection = Inspection<Store>(settings: settings, memory: memory)
        let isSecond = place.secondPoint != nil
        do throws(Violation) {
            let finding = try inspection.inspect(
                images, ledger: ledger, incarnation: isSecond ? 20 : 10,
                isRecording: !isSecond && settings.secondCrashLimit > 0,
                hasAftercare: UInt64(counts.images).isMultiple(of: settings.aftercareInterval),
                expected: expected)
            counts.recoveries += finding.recoveries
            fingerprint.add(finding.fingerprint)
            return finding
        } catch {
            // The same demand in a world of its own has a name of its own.
            let violation =
                renamed.map { Violation($0, error.description) } ?? error
            if let wanted, wanted != violation.assertion { return nil }
            throw FoundViolation(violation: violation, place: place, circumstances: circumstances)
        }
    }

    /// Runs `work` without a crash, and records every instant at which there could be one.
    mutating func record(
        _ start: StartingPoint,
        _ work: (StoreSession<Store>, StartingPoint) throws(Violation) -> Void
    ) throws(Violation) -> [CrashPoint] {
        let session = StoreSession<Store>(
            settings: settings, images: start.images, ledger: start.ledger, memory: memory,
            incarnation: 2, values: start.values)
        try session.run(until: .serving)
        try session.run(until: .idle)
        let recorder = CrashRecorder()
        recorder.attach(to: session)
        try work(session, start)
        recorder.finish(session)
        counts.instants += recorder.instants
        counts.crashPoints += recorder.points.count
        counts.recoveries += 1
        fingerprint.add(session.world.fingerprint.value)
        return recorder.points
    }

    /// A formatted drive with a few blocks, powered off with everything unflushed lost; made once.
    mutating func startingPoint() throws(Violation) -> StartingPoint {
        if let start { return start }
        let plan = MemoryPlan(
            settings: settings, privateBytes: Store.privateMemory(for: settings.engine))
        let blank = DriveImage(
            sectorBytes: settings.logicalBlockBytes,
            sectorCount: settings.driveBytes / UInt64(settings.logicalBlockBytes),
            noiseSeed: settings.seed)
        let world = SimulatedWorld()
        let device = SimulatedDevice(
            drives: [SimulatedDriveSetup(image: blank)], world: world, arena: memory.arena,
            operationLimit: 16, seed: settings.seed)
        var formatted: [Range<UInt64>] = []
        let unit = UInt64(settings.logicalBlockBytes)
        device.observer = { moment, _, operation in
            guard moment == .afterSubmission, operation.action == .write else { return }
            let first = operation.offset.rawValue / unit
            formatted.append(first..<first + operation.length.rawValue / unit)
        }
        let refusal = Store.format(
            device, world: world, settings: settings, arena: memory.arena, memory: plan.engine)
        device.observer = nil
        if let refusal { throw Violation(.driveNotFormatted, refusal) }
        let session = StoreSession<Store>(
            settings: settings.unplanted, images: lostWhatIsUnflushed(device), ledger: Ledger(),
            memory: memory, incarnation: 1, values: ValueBook())
        try session.run(until: .serving)
        let keys = try WorkloadRun.prefill(session)
        let made = StartingPoint(
            images: lostWhatIsUnflushed(session.device), ledger: session.ledger, keys: keys,
            values: session.values, formatted: formatted)
        start = made
        return made
    }

    func lostWhatIsUnflushed(_ device: SimulatedDevice) -> [DriveImage] {
        let state = device.crashState()
        let sectors = state.unflushedSectors()
        return state.resolved(
            sectors, as: sectors.map { _ in .garbage }, garbageSeed: settings.seed)
    }

    private func identity(_ images: [DriveImage], _ ledger: Ledger) -> UInt64 {
        images.reduce(ledger.digest()) { Mixer.mix($0 ^ $1.contentHash) }
    }

    func circumstances(
        _ point: CrashPoint, _ sectors: [UnflushedSector], _ outcomes: [SectorOutcome]
    ) -> String {
        let described = zip(sectors, outcomes).prefix(12).map { sector, outcome in
            "\(sector.sector)\(sector.isInFlight ? "*" : ""):\(outcome)"
        }
        let rest = sectors.count > 12 ? " and \(sectors.count - 12) more" : ""
        return point.description + ", unflushed [" + described.joined(separator: " ") + "]" + rest
    }
}
