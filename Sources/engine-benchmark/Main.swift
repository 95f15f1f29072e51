// engine-benchmark: the parts of the measurements in Benchmarks/ that need the engine or the client
// themselves.
//
// Each command does one thing and prints one line of JSON; what it means, repeats and intervals are
// the business of the scripts in Benchmarks/. Exit codes: 0 done, 1 something failed, 64 wrong
// usage.

import ArgumentParser

@main
struct EngineBenchmark: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "engine-benchmark",
        abstract: "Runs one part of a measurement; the scripts in Benchmarks/ call it.",
        subcommands: commands)

    #if IOUring
    private static let commands: [any ParsableCommand.Type] = [
        RatioCommand.self, FillCommand.self, ReadAllCommand.self, MixedCommand.self,
        ThroughputCommand.self, PumpCommand.self,
    ]
    #else
    private static let commands: [any ParsableCommand.Type] = []

    func run() throws {
        throw BenchmarkFailure(
            "this build can't measure: it has no io_uring, the package trait IOUring of builds on "
                + "Linux")
    }
    #endif
}

/// Something that didn't go as a measurement needs it, in a sentence.
struct BenchmarkFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
