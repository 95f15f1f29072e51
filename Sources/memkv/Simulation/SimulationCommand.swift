// sim: the store in a simulated world: run scenarios, repeat what was recorded, make what failed
// smaller.

import ArgumentParser
import Foundation
import ScenarioRuns
import Simulation

struct SimulationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sim",
        abstract: "Run the store in a simulated world, with faults, and judge what it answers.",
        discussion: """
            The same scenario and seed give the same run, anywhere. Every run is recorded, see \
            `memkv history`. Docs/simulation.md says how to write a scenario.
            """,
        subcommands: [
            SimulationRun.self, SimulationReplay.self, SimulationShrink.self, SimulationList.self,
        ])
}

struct SimulationList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Scenarios and what each of them tries.")

    @Argument(help: "Scenario files, or folders of them.") var paths = ["SimScenarios"]
    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    private struct Listed: Encodable {
        let scenario: String
        let about: String
    }

    func run() throws {
        let scenarios = try ScenarioFiles.read(paths).map {
            Listed(scenario: $0.path, about: $0.scenario.about)
        }
        if global.json || root.global.json { return try Terminal.json(["scenarios": scenarios]) }
        Terminal.print(TextTable.text(scenarios.map { [$0.scenario, $0.about] }))
    }
}
