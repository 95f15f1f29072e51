// ScenarioFiles: finds and reads the scenarios that a command names.
//
// Always holds: a folder's files come in the order of their names, whatever the file system says.

import ArgumentParser
import Foundation
import Scenarios
import Schema
import Simulation

/// A scenario and where it was found.
struct ScenarioFile: Sendable {
    let path: String
    let scenario: Scenario
}

enum ScenarioFiles {
    /// The scenarios of files and folders, folders inside folders included.
    static func read(_ paths: [String]) throws -> [ScenarioFile] {
        var files: [String] = []
        for path in paths { files += try find(path) }
        return try files.map { path in
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw ValidationError("\(path): can't be read")
            }
            do throws(ConfigurationError) {
                return ScenarioFile(
                    path: path, scenario: try ScenarioDocument.read(text, file: path))
            } catch { throw ValidationError("\(error)") }
        }
    }

    private static func find(_ path: String) throws -> [String] {
        var isFolder: ObjCBool = false
        guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw ValidationError("\(path): no such file or folder")
        }
        guard isFolder.boolValue else { return [path] }
        let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
        var found: [String] = []
        for name in names {
            let inside = path.hasSuffix("/") ? path + name : "\(path)/\(name)"
            var isInner: ObjCBool = false
            _ = unsafe FileManager.default.fileExists(atPath: inside, isDirectory: &isInner)
            if isInner.boolValue {
                found += try find(inside)
            } else if name.hasSuffix(".yaml") {
                found.append(inside)
            }
        }
        guard !found.isEmpty else { throw ValidationError("\(path): holds no .yaml file") }
        return found
    }
}

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
