// ListCommands: scenarios read without being run, and what they may name.

import ArgumentParser
import ScenarioRuns
import Simulation

/// Reads scenarios and says what is wrong with them.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Reads scenarios without running them.")

    @Argument(help: "Scenario files, or folders of them.") var paths: [String]

    func run() throws {
        for file in try ScenarioFiles.read(paths) {
            print("\(file.path): \(file.scenario.about)")
        }
    }
}

/// Lists what scenarios may do.
struct FaultsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "faults", abstract: "Lists the faults that scenarios may name.")

    func run() {
        for name in FaultName.allCases {
            let shape = name.shape
            var keys = ["at"]
            if shape.lasts { keys.append("for") }
            if shape.strikesDrive { keys.append("drive") }
            if shape.strikesClient { keys.append("client") }
            if let amount = shape.amount { keys.append(amount.key) }
            if let key = shape.choiceKey {
                keys.append("\(key) (\(shape.choices.joined(separator: ", ")))")
            }
            print("\(name.rawValue): " + keys.joined(separator: ", "))
        }
    }
}
