// sim shrink: makes the scenario of a recorded failure smaller, as long as it fails in the same
// way.

import ArgumentParser
import Foundation
import History
import ScenarioRuns
import Scenarios
import Simulation

struct SimulationShrink: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shrink",
        abstract: "Write a smaller scenario that fails as a recorded run did.",
        discussion: """
            Leaves out faults, clients, operations and drives, shortens times and narrows ranges, \
            one after the other, and keeps what still breaks the same promise under the same seed. \
            The result is the same every time.
            """)

    @OptionGroup var recorded: RecordedRunOptions
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write it there. (default: standard output)", valueName: "file"))
    var output: String?
    @Option(help: "Scenarios to try at most.") var tries = 500

    func validate() throws {
        if tries < 1 { throw ValidationError("--tries \(tries): at least 1") }
    }

    func run() throws {
        let (record, file) = try recorded.read()
        let seed = record.facts.seed
        guard let violation = SimulatedRun.run(file.scenario, seed: seed).violation else {
            throw CommandFailure(
                .difference,
                "run \(recorded.run) fails no more: this memkv breaks no promise in it; "
                    + "`memkv sim replay \(recorded.run)` compares the two")
        }
        var shrinker = ScenarioShrinker(file.scenario, tries: tries) { candidate in
            SimulatedRun.run(candidate, seed: seed).violation?.assertion == violation.assertion
        }
        let small = shrinker.shrink()
        let text =
            "# Found by run \(recorded.run), made smaller: breaks \(violation.assertion) under "
            + "seed \(seed).\n" + ScenarioText.of(small)
        if let output {
            do {
                try Data(text.utf8).write(to: URL(fileURLWithPath: output), options: .atomic)
            } catch {
                throw CommandFailure(
                    .usage, "\(output) can't be written: \(error.localizedDescription)")
            }
        } else {
            Terminal.print(text, terminator: "")
        }
        Terminal.standardError(
            "memkv: \(shrinker.tried) scenarios tried, \(shrinker.kept) kept; breaks "
                + "\(violation.assertion) under seed \(seed)")
    }
}
