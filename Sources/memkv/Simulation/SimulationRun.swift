// sim run: scenarios over seeds, each run judged, printed and recorded.

import ArgumentParser
import Foundation
import History
import ScenarioRuns
import Simulation

struct SimulationRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run scenarios, each under several seeds.",
        discussion: "Ends with 1 when a run failed, and prints the command that repeats it.")

    @OptionGroup var options: RunOptions
    @Option(
        help: ArgumentHelp(
            "Draw the timeline of the one run there, as a page by itself.", valueName: "file"))
    var html: String?
    @OptionGroup var history: HistoryOptions
    @ParentCommand var root: Memkv

    func run() async throws {
        var options = options
        options.json = options.json || root.global.json
        let files = try options.files()
        if html != nil, files.count != 1 || (options.seed == nil && options.seeds != 1) {
            throw ValidationError("--html draws one run: give one scenario and --seed")
        }
        let store = try history.openForWriting()
        let line = SimulationProgress(
            total: UInt64(files.count) * (options.seed == nil ? options.seeds : 1), options)
        var summary = RunSummary(
            options: options, command: "memkv sim", recordOption: history.repeated)
        var records = SimulationRecorder(store, planted: options.planted)
        var failure: CommandFailure?
        await ScenarioRunner.run(files, options) { report, file in
            line.clear()
            do throws(CommandFailure) {
                let number = try records.record(report, of: file)
                summary.take(report, of: file, recordedAs: number.rawValue)
                if let html {
                    try TimelineFile.write(
                        SimulationRecord.of(report, file, planted: options.planted), to: html)
                }
            } catch {
                if failure == nil { failure = error }
            }
            line.advance()
        }
        line.clear()
        summary.finish(files)
        if let failure { throw failure }
        if summary.hasFailed { throw CommandFailure(.difference, "") }
    }
}

/// Runs of one command, recorded as they end.
struct SimulationRecorder {
    private let store: HistoryStore
    private let planted: String?
    private var passed = 0

    /// So many runs that passed are recorded with their samples; of the others the samples can be
    /// had again by a replay.
    private static let passedWithSamples = 200

    init(_ store: HistoryStore, planted: String?) {
        self.store = store
        self.planted = planted
    }

    mutating func record(
        _ report: RunReport, of file: ScenarioFile
    ) throws(CommandFailure) -> RunNumber {
        var record = SimulationRecord.of(report, file, planted: planted)
        if report.hasPassed {
            passed += 1
            if passed > Self.passedWithSamples { record.series = [] }
        }
        do throws(HistoryError) {
            return try store.record(record)
        } catch {
            throw CommandFailure(error)
        }
    }
}

/// How many runs are done, in one line of a terminal's stderr.
final class SimulationProgress {
    private let line: ProgressLine
    private let total: UInt64
    private var done: UInt64 = 0

    /// Shown where only what failed is printed: there it would stay silent for long.
    init(total: UInt64, _ options: RunOptions) {
        self.total = total
        line = ProgressLine(isVisible: options.quiet && !options.json && options.minutes == nil)
    }

    func advance() {
        done += 1
        line.show("\(done) of \(total) runs")
    }

    func clear() { line.clear() }
}
