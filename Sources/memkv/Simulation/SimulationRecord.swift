// SimulationRecord: a report of a simulated run as the history keeps it.

import Foundation
import History
import ScenarioRuns
import Simulation
import Wire

enum SimulationRecord {
    /// Names in a record's configuration that a replay needs.
    static let fileKey = "file"
    static let plantedKey = "planted mistake"

    /// `planted` is a mistake that the command line planted, not the scenario.
    static func of(_ report: RunReport, _ file: ScenarioFile, planted: String?) -> RunRecord {
        let began = Date(timeIntervalSinceNow: -Double(report.realMicroseconds) / 1e6)
        var facts = RunFacts(
            kind: .sim, startedAt: began.formatted(.iso8601), scenario: report.scenario,
            scenarioHash: String(report.contentHash, radix: 16), seed: report.seed,
            program: program, machine: machine, realMicroseconds: report.realMicroseconds,
            verdict: verdict(of: report))
        facts.about = file.scenario.about
        facts.scenarioText = file.text
        facts.configuration = Dictionary(
            report.configuration.map { ($0.name, $0.value) },
            uniquingKeysWith: { first, _ in first })
        facts.configuration[fileKey] = file.path
        facts.configuration[plantedKey] = planted
        facts.fingerprint = report.fingerprintText
        facts.virtualMicroseconds = report.virtualMicroseconds
        facts.firstViolation = firstViolation(of: report)
        return RunRecord(
            facts: facts, series: series(of: report),
            spans: faults(of: report) + states(of: report),
            totals: totals(of: report))
    }

    /// This program, which holds the simulated store.
    private static let program: RunProgram = {
        let commit = MachineFacts.commit(ofFolder: MachineFacts.programFolder.path).known
        return RunProgram(
            version: ProductVersion.current, describedCommit: commit,
            toolchain: BuildFacts.toolchain, buildKind: BuildFacts.kind)
    }()

    private static let machine: RunMachine = {
        let facts = MachineFacts()
        return RunMachine(
            kernel: facts.kernel.known, processor: facts.processorModel.known, device: "simulated")
    }()

    private static func verdict(of report: RunReport) -> History.RunVerdict {
        switch report.verdict {
        case .passed: .passed
        case .violated: .violated
        case .belowMinimum: .belowMinimum
        }
    }

    private static func firstViolation(of report: RunReport) -> String? {
        if let violation = report.violation {
            let time = BenchTable.duration(violation.atMicroseconds * 1000)
            return "\(violation.assertion): \(violation.detail), at \(time)"
        }
        return report.shortfalls.isEmpty ? nil : report.shortfalls.joined(separator: ", ")
    }

    // MARK: Over time

    private static func series(of report: RunReport) -> [RunSeries] {
        let samples = report.samples
        func series(
            _ quantity: String, _ subject: String, _ unit: String, _ better: Direction,
            _ value: (Int) -> Double?
        ) -> RunSeries {
            RunSeries(
                quantity: quantity, subject: subject, unit: unit, better: better,
                samples: samples.indices.compactMap { place in
                    value(place).map {
                        RunSeries.Sample(position: samples[place].atMicroseconds, value: $0)
                    }
                })
        }
        func aSecond(_ place: Int, _ count: UInt64) -> Double? {
            let before = place == 0 ? 0 : samples[place - 1].atMicroseconds
            let microseconds = samples[place].atMicroseconds - before
            return microseconds == 0 ? nil : Double(count) * 1e6 / Double(microseconds)
        }
        func latency(_ place: Int, _ value: UInt64) -> Double? {
            samples[place].requests == 0 ? nil : Double(value)
        }
        let drives = samples.map(\.driveQueues.count).max() ?? 0
        return [
            series(RunPicture.Quantity.throughput, "all that ended", "requests/s", .higher) {
                aSecond($0, samples[$0].requests)
            },
            series(RunPicture.Quantity.throughput, "result or miss", "requests/s", .higher) {
                aSecond($0, samples[$0].answered)
            },
            series(RunPicture.Quantity.latency, "p50", "µs", .lower) {
                latency($0, samples[$0].latencyMedianMicroseconds)
            },
            series(RunPicture.Quantity.latency, "p99", "µs", .lower) {
                latency($0, samples[$0].latencyP99Microseconds)
            },
            series(RunPicture.Quantity.underWay, "all clients", "", .neither) {
                Double(samples[$0].underWay)
            },
        ]
            + (0..<drives).map { drive in
                series(RunPicture.Quantity.queue, "drive \(drive)", "", .neither) {
                    let queues = samples[$0].driveQueues
                    return queues.indices.contains(drive) ? Double(queues[drive]) : nil
                }
            } + [
                series(RunPicture.Quantity.blocks, "stored", "", .neither) {
                    Double(samples[$0].blocks)
                }
            ]
    }

    private static func faults(of report: RunReport) -> [RunSpan] {
        report.faults.map { fault in
            let name = fault.name.replacing("_", with: " ")
            return RunSpan(
                lane: RunPicture.Lane.fault, subject: fault.target,
                label: fault.detail.isEmpty ? name : "\(name) (\(fault.detail))",
                fromMicroseconds: fault.beganMicroseconds,
                toMicroseconds: fault.endedMicroseconds ?? fault.beganMicroseconds)
        }
    }

    /// Each state from where it was first seen to where the next one of the same subject was. A
    /// server that isn't there says nothing of its drives.
    private static func states(of report: RunReport) -> [RunSpan] {
        report.events.enumerated().map { place, event in
            let isHealth = event.subject == "health"
            let isServer = event.subject == "server"
            let next = report.events.dropFirst(place + 1).first { later in
                later.subject == event.subject
                    || (!isHealth && later.subject == "server" && !later.what.hasPrefix("started"))
            }
            return RunSpan(
                lane: isHealth
                    ? RunPicture.Lane.health
                    : isServer ? RunPicture.Lane.server : RunPicture.Lane.drive,
                subject: isHealth ? "health" : event.subject, label: event.what,
                fromMicroseconds: event.atMicroseconds, toMicroseconds: next?.atMicroseconds)
        }
    }

    private static func totals(of report: RunReport) -> [String: Double] {
        var totals = [
            "requests": Double(report.requests), "keys judged": Double(report.judged),
            "faults struck": Double(report.faultsStruck),
        ]
        for (status, count) in report.outcomes { totals["ended: \(status)"] = Double(count) }
        for (name, count) in report.felt {
            totals["felt: \(name.replacing("_", with: " "))"] = Double(count)
        }
        return totals
    }
}

extension RunProgram {
    /// `commit` as `git describe` tells it, with "-dirty" where files differ.
    init(version: String, describedCommit commit: String?, toolchain: String?, buildKind: String?) {
        let suffix = "-dirty"
        self.init(
            version: version,
            commit: commit.map { $0.hasSuffix(suffix) ? String($0.dropLast(suffix.count)) : $0 },
            isDirty: commit?.hasSuffix(suffix), toolchain: toolchain, buildKind: buildKind)
    }
}
