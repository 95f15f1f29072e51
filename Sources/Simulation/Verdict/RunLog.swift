// RunLog: the run as it will be reported: samples, faults, changes of state, the verdict.

internal import Client
internal import Engine
internal import Judgement
internal import Sim
internal import Wire

final class RunLog {
    private unowned let world: World
    private(set) var samples: [RunSample] = []
    private(set) var faults: [RunFault] = []
    private var faultPlaces: [Int: Int] = [:]
    private(set) var events: [RunEvent] = []
    private let intervalMicroseconds: UInt64
    /// Of each sample: latencies of requests for keys on other drives than the stricken one.
    private var othersLatencies: [[UInt64]] = []
    /// Of each sample: connections of each client that nobody had taken by then.
    private var refusals: [[UInt64]] = []
    /// Of each sample: requests that had come by queue pairs by then.
    private var remoteRequests: [UInt64] = []
    private var lastHealth = ReportedHealth.unavailable
    private var lastConditions: [DriveCondition] = []
    /// Most drives that were reported missing at once.
    private(set) var mostMissing: UInt64 = 0

    init(world: World) {
        self.world = world
        intervalMicroseconds = max(1000, world.faults.durationMicroseconds / 100)
    }

    func begin() { world.schedule(.sample, after: intervalMicroseconds) }

    // MARK: Samples

    func takeSample() {
        world.schedule(.sample, after: intervalMicroseconds)
        world.server.endOverdue()
        let report = world.server.report
        world.judge.settle(report)
        let counts = world.judge.takeSampleCounts()
        let latencies = world.judge.latencies.sorted()
        world.judge.latencies.removeAll(keepingCapacity: true)
        var sample = RunSample()
        sample.atMicroseconds = world.elapsedMicroseconds
        sample.requests = counts.ended
        sample.answered = counts.answered
        sample.served = counts.served
        sample.othersServed = counts.othersServed
        sample.doubts = report.doubts
        if !latencies.isEmpty {
            sample.latencyMedianMicroseconds = latencies[latencies.count / 2]
            sample.latencyP99Microseconds = latencies[latencies.count * 99 / 100]
        }
        sample.underWay = world.clients.reduce(0) { $0 + UInt64($1.underWay) }
        sample.driveQueues = world.server.driveQueues
        let conditions = world.server.driveConditions
        sample.driveStates = conditions.map { "\($0.state)" }
        sample.health = report.health
        sample.blocks = report.blocks
        sample.usedBytes = report.usedBytes
        samples.append(sample)
        remoteRequests.append(world.remoteCounts.requests)
        othersLatencies.append(world.judge.othersLatencies)
        world.judge.othersLatencies.removeAll(keepingCapacity: true)
        judgeMemory()
        judgeRefusals()
        follow(conditions, report)
        world.noteStates(report, sample)
    }

    /// Most connections that a client may try in a second of which none is taken: its pauses double
    /// up to a tenth of a second.
    private static let refusalsPerSecond: UInt64 = 200

    /// What a drive is being given nobody else may write to.
    private func judgeMemory() {
        for shard in world.server.shards where shard.device.changedWrites > 0 {
            world.judge.fail(
                Violation(
                    .memoryChangedInFlight,
                    "\(shard.device.changedWrites) writes to drives had their memory changed"))
        }
    }

    private func judgeRefusals() {
        refusals.append(world.network.refusals)
        let place = samples.count - 1
        let window = Int(1_000_000 / intervalMicroseconds)
        guard place >= window, let now = refusals.last else { return }
        let before = refusals[place - window]
        refusals[place - window] = []
        for client in now.indices where now[client] - before[client] > Self.refusalsPerSecond {
            world.judge.fail(
                Violation(
                    .triedTooOften,
                    "client \(client) tried \(now[client] - before[client]) connections in a second"
                ))
        }
    }

    private func follow(_ conditions: [DriveCondition], _ report: StoreReport) {
        mostMissing = max(mostMissing, report.drivesMissing)
        let now = world.elapsedMicroseconds
        if report.health != lastHealth {
            lastHealth = report.health
            events.append(
                RunEvent(atMicroseconds: now, subject: "health", what: report.health.rawValue))
        }
        for (place, condition) in conditions.enumerated()
        where place >= lastConditions.count || lastConditions[place] != condition {
            let causes = condition.causes.joined(separator: ", ")
            let what = causes.isEmpty ? condition.word : "\(condition.word): \(causes)"
            events.append(
                RunEvent(atMicroseconds: now, subject: "drive \(place)", what: what))
        }
        lastConditions = conditions
    }

    func note(_ event: WorldEvent, _ first: UInt64, _ second: UInt64) {
        switch event {
        case .started:
            events.append(
                RunEvent(
                    atMicroseconds: world.elapsedMicroseconds, subject: "server",
                    what: "started with \(second) \(second == 1 ? "shard" : "shards")"))
        case .stopped:
            let how = second == 1 ? "power cut" : second == 2 ? "killed" : "stopped"
            events.append(
                RunEvent(
                    atMicroseconds: world.elapsedMicroseconds, subject: "server", what: how))
        default: break
        }
    }

    // MARK: Faults

    func faultBegan(_ index: Int, _ fault: PlannedFault) {
        let shape = fault.name.shape
        let target =
            shape.strikesDrive
            ? "drive \(fault.drive)" : shape.strikesClient ? "client \(fault.client)" : "server"
        var parts: [String] = []
        if let amount = shape.amount { parts.append("\(amount.key) \(fault.amount)") }
        if let key = shape.choiceKey { parts.append("\(key) \(fault.choice)") }
        faultPlaces[index] = faults.count
        faults.append(
            RunFault(
                name: fault.name.rawValue, target: target, detail: parts.joined(separator: ", "),
                beganMicroseconds: world.elapsedMicroseconds))
    }

    func faultEnded(_ index: Int) {
        guard let place = faultPlaces[index] else { return }
        faults[place].endedMicroseconds = world.elapsedMicroseconds
    }

    /// The server is about to die: where in its work it is.
    func noteDeath() { world.noteDeath() }

    // MARK: Expectations

    func judgeExpectations() throws(Violation) {
        guard let first = faults.first else { return }
        let lastEnd = faults.map { $0.endedMicroseconds ?? $0.beganMicroseconds }.max() ?? 0
        for expectation in world.scenario.expectations {
            switch expectation {
            case .health(let health, let within):
                try expectHealth(health, from: first.beganMicroseconds, within: within)
            case .recovery(let within):
                try expectHealth(.healthy, from: lastEnd, within: within)
            case .throughput(let percent):
                try compare(first, percent: percent, .throughputBelowBound, atMost: false) {
                    Self.mean(samples[$0], \.served)
                }
            case .latency(let percent):
                try compare(first, percent: percent, .latencyAboveBound, atMost: true) {
                    Self.mean(samples[$0], \.latencyP99Microseconds)
                }
            case .othersThroughput(let percent):
                try compare(first, percent: percent, .throughputBelowBound, atMost: false) {
                    Self.mean(samples[$0], \.othersServed)
                }
            case .othersLatency(let percent):
                try compare(first, percent: percent, .latencyAboveBound, atMost: true) {
                    let latencies = othersLatencies[$0].flatMap { $0 }.sorted()
                    return latencies.isEmpty ? 0 : latencies[latencies.count * 99 / 100]
                }
            case .median(let within): try expect(\.latencyMedianMicroseconds, within: within)
            case .tail(let within): try expect(\.latencyP99Microseconds, within: within)
            case .damageFound(let within):
                try expectDamageFound(from: first.beganMicroseconds, within: within)
            case .remoteAgain(let within): try expectRemote(from: lastEnd, within: within)
            }
        }
    }

    private func expect(
        _ latency: KeyPath<RunSample, UInt64>, within: UInt64
    ) throws(Violation) {
        let working = samples.filter {
            $0.requests > 0 && $0.atMicroseconds <= world.faults.durationMicroseconds
        }
        let mean = Self.mean(working[...], latency)
        guard mean > within else { return }
        throw Violation(
            .latencyAboveBound, "requests took \(mean) us on the mean of samples, not \(within)")
    }

    private func expectDamageFound(from start: UInt64, within: UInt64) throws(Violation) {
        let isFound = samples.contains {
            $0.doubts > 0 && $0.atMicroseconds >= start
                && $0.atMicroseconds <= start + within + intervalMicroseconds
        }
        guard !isFound else { return }
        throw Violation(.expectationNotMet, "no damage was reported within \(within) us")
    }

    private func expectRemote(from end: UInt64, within: UInt64) throws(Violation) {
        let places = places(end, to: end + within + 2 * intervalMicroseconds)
        let isSeen = places.contains {
            $0 > places.lowerBound && remoteRequests[$0] > remoteRequests[places.lowerBound]
        }
        guard !isSeen else { return }
        throw Violation(
            .expectationNotMet, "no request came by a queue pair within \(within) us of \(end)")
    }

    private static func mean(
        _ samples: ArraySlice<RunSample>, _ number: KeyPath<RunSample, UInt64>
    ) -> UInt64 {
        samples.reduce(0) { $0 + $1[keyPath: number] } / UInt64(max(1, samples.count))
    }

    private func expectHealth(
        _ health: ReportedHealthName, from start: UInt64, within: UInt64
    ) throws(Violation) {
        let isSeen = samples.contains {
            $0.atMicroseconds >= start
                && $0.atMicroseconds <= start + within + intervalMicroseconds
                && $0.health.rawValue == health.rawValue
        }
        guard !isSeen else { return }
        throw Violation(
            .expectationNotMet, "health wasn't \(health.rawValue) within \(within) us of \(start)")
    }

    /// Compares a number of the samples during a fault with the same before it.
    private func compare(
        _ fault: RunFault, percent: UInt64, _ assertion: Assertion, atMost: Bool,
        _ number: (Range<Int>) -> UInt64
    ) throws(Violation) {
        let end = fault.endedMicroseconds ?? .max
        // The first samples of both find empty caches and full queues.
        let before = places(fault.beganMicroseconds / 4, to: fault.beganMicroseconds)
        let settled = fault.beganMicroseconds + (min(end, .max / 2) - fault.beganMicroseconds) / 4
        let during = places(settled, to: end)
        guard !before.isEmpty, !during.isEmpty else {
            throw Violation(.expectationNotMet, "no samples before or during \(fault.name)")
        }
        let (was, then) = (number(before), number(during))
        let isKept = atMost ? then * 100 <= was * percent : then * 100 >= was * percent
        guard !isKept else { return }
        throw Violation(
            assertion, "\(then) during \(fault.name), \(was) before: not \(percent) percent")
    }

    /// The samples after one time and not after another.
    private func places(_ after: UInt64, to end: UInt64) -> Range<Int> {
        let first = samples.firstIndex { $0.atMicroseconds > after } ?? samples.endIndex
        let last = samples.lastIndex { $0.atMicroseconds <= end } ?? -1
        return first..<max(first, last + 1)
    }

    // MARK: The report

    func report(_ violation: Violation?) -> RunReport {
        var report = RunReport()
        let scenario = world.scenario
        report.scenario = scenario.name
        report.contentHash = scenario.contentHash
        report.seed = world.seed
        report.fingerprint = world.sim.fingerprint.value
        report.virtualMicroseconds = world.elapsedMicroseconds
        report.requests = world.judge.requestsEnded
        report.judged = world.judge.ledger.judgedCount
        report.faultsStruck = world.faults.struck
        report.outcomes = world.judge.outcomes.enumerated().compactMap { place, count in
            count == 0 ? nil : OutcomeNames.name(place).map { ($0, count) }
        }
        let felt = world.felt
        report.felt = zip(Felt.allCases, felt).filter { $1 > 0 }.map { ($0.rawValue, $1) }
        world.noteFinalStates()
        report.reached = world.reached.states
        report.samples = samples
        report.faults = faults
        report.events = events
        report.configuration = configuration
        report.shortfalls = shortfalls(felt)
        if let violation {
            report.verdict = .violated
            report.violation = RunViolation(
                assertion: violation.assertion.rawValue, detail: violation.detail,
                atMicroseconds: world.elapsedMicroseconds)
        } else if !report.shortfalls.isEmpty {
            report.verdict = .belowMinimum
        }
        return report
    }

    private func shortfalls(_ felt: [UInt64]) -> [String] {
        let minimum = world.scenario.minimum
        var found: [String] = []
        if world.judge.requestsEnded < minimum.requests {
            found.append("\(world.judge.requestsEnded) requests of \(minimum.requests)")
        }
        if world.faults.struck < minimum.faults {
            found.append("\(world.faults.struck) faults of \(minimum.faults)")
        }
        for (name, least) in minimum.felt {
            guard let place = Felt.allCases.firstIndex(of: name), felt[place] < least else {
                continue
            }
            found.append("\(name.rawValue) \(felt[place]) of \(least)")
        }
        return found
    }

    private var configuration: [(name: String, value: String)] {
        let plan = world.server.plan
        return [
            ("shards", "\(plan.shards.from)..\(plan.shards.to)"), ("drives", "\(plan.driveCount)"),
            ("drive_bytes", "\(plan.driveBytes)"), ("journal_blocks", "\(plan.journalBlocks)"),
            ("slabs", "\(plan.slabCount)"), ("clients", "\(world.clients.count)"),
            ("keys", plan.keys.isEmpty ? "none" : "required"),
        ]
    }
}
