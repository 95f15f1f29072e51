// memkv-sim: runs simulation scenarios; the engine, the simulated world and scenarios alone, so that
// release builds and test builds of it cost seconds.
//
// Exit codes: 0 every run passed, 1 a promise was broken (with the command that repeats the run), a
// run fell below its minimum, or a state was never reached; 2 wrong usage or a scenario that can't
// be read.

import ArgumentParser

@main
struct SimulationCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memkv-sim",
        abstract: "Runs the store in a simulated world, with faults, and judges what it answered.",
        discussion: "The same scenario and seed give the same run, anywhere.",
        subcommands: [RunCommand.self, CheckCommand.self, FaultsCommand.self],
        defaultSubcommand: RunCommand.self)
}
