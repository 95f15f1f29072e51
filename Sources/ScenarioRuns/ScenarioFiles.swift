// ScenarioFiles: finds and reads the scenarios that a command names.
//
// Always holds: a folder's files come in the order of their names, whatever the file system says.

internal import ArgumentParser
internal import Foundation
internal import Scenarios
internal import Schema
package import Simulation

/// A scenario and where it was found.
package struct ScenarioFile: Sendable {
    package let path: String
    /// What stands in the file.
    package let text: String
    package let scenario: Scenario

    package init(path: String, text: String, scenario: Scenario) {
        self.path = path
        self.text = text
        self.scenario = scenario
    }
}

package enum ScenarioFiles {
    /// The scenarios of files and folders, folders inside folders included.
    package static func read(_ paths: [String]) throws -> [ScenarioFile] {
        var files: [String] = []
        for path in paths { files += try find(path) }
        return try files.map { path in
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw ValidationError("\(path): can't be read")
            }
            do throws(ConfigurationError) {
                return ScenarioFile(
                    path: path, text: text,
                    scenario: try ScenarioDocument.read(text, file: path))
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
