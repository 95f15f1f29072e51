// BenchRecord: a result as runs of the history.

import Client
import Foundation
import History
import Wire

/// Where the server of a run's own kept its blocks.
struct BenchPlace {
    let store: BenchStore
    let folder: String

    init(_ store: BenchStore, in directory: String?) {
        self.store = store
        folder =
            (directory.map { URL(fileURLWithPath: $0) }
            ?? FileManager.default.temporaryDirectory).standardizedFileURL.path
    }

    var description: String { store == .memory ? "memory" : "a file in \(folder)" }
}

/// All that a `bench run` has found: a report for each program, the one compared with first.
struct BenchResult {
    let profile: BenchProfile
    let seed: UInt64
    /// Nil for servers that ran already.
    let place: BenchPlace?
    let nanoseconds: UInt64
    var reports: [BenchReport]
    /// What names the database in a command for the user.
    var databaseOption = ""
    /// Of the two programs that were measured in turns.
    var comparison: RunComparison?
}

enum BenchRecord {
    /// Compares what was measured in turns, and records every report where `history` is given,
    /// with the numbers of the runs written into them.
    static func finish(
        _ result: inout BenchResult, in history: HistoryStore?
    ) throws(CommandFailure) {
        let pairing = result.reports.count > 1 ? UUID().uuidString : nil
        let runs = result.reports.map { record(of: $0, result, pairing: pairing) }
        if let first = runs.first, let last = runs.last, runs.count == 2 {
            result.comparison = RunComparison([first], [last])
        }
        guard let history else { return }
        for index in runs.indices {
            do throws(HistoryError) {
                let number = try history.record(runs[index])
                result.reports[index].recordedAsRun = .value(number.rawValue)
            } catch {
                throw CommandFailure(error)
            }
        }
    }

    /// The report as a run.
    static func record(
        of report: BenchReport, _ result: BenchResult, pairing: String?
    ) -> RunRecord {
        let loads = result.profile.text
        let hash = BlockKey.sha256(of: Array(loads.utf8), namespace: Namespace(0))
        var facts = RunFacts(
            kind: .bench, startedAt: report.startedAt, scenario: result.profile.rawValue,
            scenarioHash: hash.hexadecimal, seed: result.seed, program: program(of: report),
            machine: RunMachine(
                kernel: report.machine.kernel.known,
                processor: report.machine.processorModel.known.map {
                    "\($0), \(report.machine.processors) of them"
                },
                device: result.place?.description
                    ?? report.servers.drives.known?.joined(separator: ", ")),
            realMicroseconds: result.nanoseconds / 1000, verdict: .measured)
        facts.scenarioText = loads
        facts.configuration = configuration(of: report, result)
        facts.pairing = pairing
        var totals: [String: Double] = [:]
        totals[RunComparison.disturbanceTotal] = report.processorsBusyElsewhere.known
        totals["load at start"] = report.loadAtStart.known
        totals["load at end"] = report.loadAtEnd.known
        return RunRecord(facts: facts, series: report.cells.flatMap(\.series), totals: totals)
    }

    private static func program(of report: BenchReport) -> RunProgram {
        let memkvd = report.servers.memkvd.known.map { URL(fileURLWithPath: $0) }
        let isBeside =
            memkvd?.deletingLastPathComponent().resolvingSymlinksInPath()
            == MachineFacts.programFolder.resolvingSymlinksInPath()
        return RunProgram(
            version: ProductVersion.current,
            describedCommit: report.servers.workingCopyCommit.known,
            toolchain: isBeside ? BuildFacts.toolchain : nil,
            buildKind: isBeside ? BuildFacts.kind : memkvd.flatMap(BuildFacts.kind(ofProgram:)))
    }

    private static func configuration(
        of report: BenchReport, _ result: BenchResult
    ) -> [String: String] {
        guard let place = result.place else {
            return ["servers": report.servers.addresses.joined(separator: ",")]
        }
        var configuration = ["store": place.store.rawValue]
        configuration["memkvd"] = report.servers.memkvd.known
        return configuration
    }
}

extension BenchCell {
    /// The rounds of this cell as series of the history.
    var series: [RunSeries] {
        func series(
            _ quantity: String, _ unit: String, _ better: Direction, _ value: (Round) -> Double?
        ) -> RunSeries? {
            let samples = rounds.compactMap { round in
                value(round).map {
                    RunSeries.Sample(position: UInt64(round.round), value: $0)
                }
            }
            guard !samples.isEmpty else { return nil }
            return RunSeries(
                quantity: quantity, subject: subject, unit: unit, better: better, samples: samples)
        }
        let isExists = operation == .exists
        func work(_ round: Round) -> Double { Double(isExists ? round.keys : round.bytes) }
        func cost(_ processor: Measured<UInt64>, _ round: Round) -> Double? {
            let amount = isExists ? Double(round.keys) / 1e6 : Double(round.bytes) / Double(1 << 30)
            guard let nanoseconds = processor.known, amount > 0 else { return nil }
            return Double(nanoseconds) / 1e9 / amount
        }
        let costUnit = isExists ? "s/million keys" : "s/GiB"
        return [
            series("throughput", isExists ? "keys/s" : "bytes/s", .higher) { round in
                let amount = work(round)
                return amount > 0 ? amount / (Double(round.nanoseconds) / 1e9) : nil
            },
            series("median time", "ns", .lower) { $0.p50Nanoseconds.known.map { Double($0) } },
            series("p99 time", "ns", .lower) { $0.p99Nanoseconds.known.map { Double($0) } },
            series("server processor time", costUnit, .lower) {
                cost($0.serverProcessorNanoseconds, $0)
            },
            series("client processor time", costUnit, .lower) {
                cost($0.clientProcessorNanoseconds, $0)
            },
        ].compactMap(\.self)
    }

    /// The operation and its load in words.
    var subject: String {
        let kind: BenchLoad.Kind =
            operation == .exists ? .exists(batchKeys: batchKeys) : .blocks(valueBytes: valueBytes)
        let load = BenchLoad(kind: kind, inFlight: inFlight, connections: connections)
        return "\(operation.rawValue), \(load)"
    }
}

extension BenchProfile {
    /// All that a profile's name stands for, as a text: another text, other loads.
    var text: String {
        ([
            "\(BenchReport.schemaName) \(rawValue)",
            "\(rounds) rounds, warm-up \(firstWarmUpMicroseconds) µs, then \(warmUpMicroseconds) "
                + "µs, measured \(measuredMicroseconds) µs, stored \(storedBytesLimit) bytes",
        ] + loads.map(\.description)).joined(separator: "\n")
    }

    /// The time that a run measures and warms up for.
    var leastMicroseconds: UInt64 {
        let operations = loads.reduce(0) { sum, load in
            if case .blocks = load.kind { sum + 2 } else { sum + 1 }
        }
        let rounds = UInt64(rounds)
        return UInt64(operations)
            * (firstWarmUpMicroseconds + (rounds - 1) * warmUpMicroseconds
                + rounds * measuredMicroseconds)
    }
}
