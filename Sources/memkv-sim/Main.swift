// memkv-sim: runs simulation scenarios; the engine, the simulated world and scenarios alone, so
// that release builds and test builds of it cost seconds.
//
// Exit codes: 0 every run passed, 1 a promise was broken (with the command that repeats the run), a
// run fell below its minimum, or a state was never reached; 2 wrong usage or a scenario that can't
// be read.

import ArgumentParser
import Foundation

@main
struct SimulationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memkv-sim",
        abstract: "Runs the store in a simulated world, with faults, and judges what it answered.",
        discussion: "The same scenario and seed give the same run, anywhere.",
        subcommands: [
            RunCommand.self, HuntCommand.self, CheckCommand.self, FaultsCommand.self,
        ],
        defaultSubcommand: RunCommand.self)

    /// As the parser does it, but for the exit code of what can't be understood.
    static func main() async {
        do {
            var command = try parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            FileHandle.standardError.write(Data((fullMessage(for: error) + "\n").utf8))
            exit(withError: ExitCode(2))
        }
    }
}
