// Runs the built `memkv` as a user does: arguments, standard input, environment; out come two texts
// and a code.

import Foundation

struct CommandResult {
    var code: Int32
    var output: Data
    var errors: String

    var text: String { String(decoding: output, as: UTF8.self) }
}

enum CommandLineTool {
    /// Beside the test bundle: both are products of one build.
    static let memkv = URL(
        fileURLWithPath: (try? FileManager.default.destinationOfSymbolicLink(
            atPath: "/proc/self/exe")) ?? ""
    ).deletingLastPathComponent().appendingPathComponent("memkv")

    static func start(
        _ arguments: [String], input: Data = Data(), environment: [String: String] = [:],
        executable: URL = memkv
    ) throws -> Process {
        let process = Process()
        process.executableURL = executable
        process.arguments = arguments
        process.environment = [
            "PATH": "/usr/bin:/bin", "SWIFT_BACKTRACE": "enable=no",
        ].merging(environment) { $1 }
        let folder = FileManager.default.temporaryDirectory
        let inputFile = folder.appendingPathComponent(UUID().uuidString)
        try input.write(to: inputFile)
        process.standardInput = try FileHandle(forReadingFrom: inputFile)
        try FileManager.default.removeItem(at: inputFile)
        process.standardOutput = Pipe()
        process.standardError = Pipe()
        try process.run()
        return process
    }

    static func finish(_ process: Process) -> CommandResult {
        let errors = DataBox()
        let done = DispatchGroup()
        let errorPipe = (process.standardError as? Pipe)?.fileHandleForReading
        if let errorPipe {
            done.enter()
            Thread.detachNewThread {
                errors.data = errorPipe.readDataToEndOfFile()
                done.leave()
            }
        }
        let output =
            (process.standardOutput as? Pipe)?.fileHandleForReading.readDataToEndOfFile() ?? Data()
        done.wait()
        process.waitUntilExit()
        return CommandResult(
            code: process.terminationStatus, output: output,
            errors: String(decoding: errors.data, as: UTF8.self))
    }

    static func run(
        _ arguments: [String], input: Data = Data(), environment: [String: String] = [:],
        executable: URL = memkv
    ) throws -> CommandResult {
        finish(
            try start(arguments, input: input, environment: environment, executable: executable))
    }

    private final class DataBox: @unchecked Sendable {
        // Sendable because it is read only after its writer has left the group.
        var data = Data()
    }
}

/// A directory of a test's own, gone when the test ends.
final class Folder {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent(
            "memkv-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }

    func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: url.appendingPathComponent(name))
        return path(name)
    }

    func read(_ name: String) -> [UInt8]? {
        (try? Data(contentsOf: url.appendingPathComponent(name))).map { [UInt8]($0) }
    }

    var names: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: url.path)) ?? []).sorted()
    }
}
