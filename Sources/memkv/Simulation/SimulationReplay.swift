// sim replay: repeats a recorded run, from the record alone, and tells whether it was the same.

import ArgumentParser
import Foundation
import History
import ScenarioRuns
import Scenarios
import Schema
import Simulation

struct SimulationReplay: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Repeat a recorded run and compare fingerprints.",
        discussion: """
            Runs the scenario's text and the seed of the record, whatever has become of the file. \
            Ends with 1 when the fingerprint is another one: the program isn't the same, or, with \
            the same program, something outside the seed had a say, which must never be.
            """)

    @OptionGroup var recorded: RecordedRunOptions
    @Flag(help: "Print every event: number, virtual nanoseconds, what, three words.")
    var trace = false
    @Option(
        help: ArgumentHelp(
            "Draw the run's timeline there, as a page by itself.", valueName: "file"))
    var html: String?
    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    private struct Answer: Encodable {
        let run: Int64
        let recordedFingerprint: String
        let fingerprint: String
        let isSame: Bool
        let verdict: String
        let violation: String?
    }

    func run() throws {
        let (record, file) = try recorded.read()
        let report =
            trace
            ? ScenarioRunner.traced(file, seed: record.facts.seed)
            : ScenarioRunner.timed(file.scenario, seed: record.facts.seed)
        let repeated = SimulationRecord.of(
            report, file, planted: record.facts.configuration[SimulationRecord.plantedKey])
        if let html { try TimelineFile.write(repeated, to: html) }
        let before = record.facts.fingerprint ?? ""
        let answer = Answer(
            run: recorded.run, recordedFingerprint: before, fingerprint: report.fingerprintText,
            isSame: before == report.fingerprintText, verdict: report.verdict.rawValue,
            violation: repeated.facts.firstViolation)
        if global.json || root.global.json {
            try Terminal.json(answer, keys: .convertToSnakeCase)
        } else {
            show(answer)
        }
        guard answer.isSame else {
            throw CommandFailure(
                .difference,
                "run \(recorded.run) had the fingerprint \(before), this one has "
                    + "\(report.fingerprintText)\(Self.difference(record.facts, repeated.facts))")
        }
    }

    private func show(_ answer: Answer) {
        Terminal.print(
            "run \(answer.run): \(answer.verdict), fingerprint \(answer.fingerprint)"
                + (answer.isSame ? ", the same as recorded" : ""))
        if let violation = answer.violation { Terminal.print("  \(violation)") }
    }

    /// What may explain another fingerprint.
    private static func difference(_ before: RunFacts, _ now: RunFacts) -> String {
        let commits = [before, now].map { HistoryTable.commit($0.program, digits: 10) }
        guard commits[0] != commits[1] else {
            return commits[0].isEmpty || commits[0].hasSuffix("*")
                ? "; whether the program is the same isn't known" : ", of the same commit"
        }
        return "; it was recorded by commit \(commits[0]), this is \(commits[1])"
    }
}

/// A recorded simulation, named on the command line.
struct RecordedRunOptions: ParsableArguments {
    @Argument(help: "The number of a recorded simulation.") var run: Int64
    @OptionGroup var history: HistoryOptions

    /// The record, and the scenario as it was then, with what was planted.
    func read() throws -> (record: RunRecord, file: ScenarioFile) {
        let store = try history.openForReading()
        let record: RunRecord
        do throws(HistoryError) {
            record = try store.run(RunNumber(run))
        } catch {
            throw CommandFailure(error)
        }
        guard record.facts.kind == .sim, let text = record.facts.scenarioText else {
            throw CommandFailure(.usage, "run \(run) is a benchmark, not a simulation")
        }
        let path = record.facts.configuration[SimulationRecord.fileKey] ?? record.facts.scenario
        var scenario: Scenario
        do throws(ConfigurationError) {
            scenario = try ScenarioDocument.read(text, file: path)
        } catch {
            throw CommandFailure(
                .usage, "this memkv can't read the scenario of run \(run) any more: \(error)")
        }
        if let planted = record.facts.configuration[SimulationRecord.plantedKey] {
            scenario.store.plantedBug = planted
        }
        let file = ScenarioFile(path: path, text: text, scenario: scenario)
        try RunOptions.refuseMistakes(file)
        return (record, file)
    }
}
