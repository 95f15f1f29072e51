// RunCommand: runs scenarios over seeds, side by side, and prints a verdict for each run.

import ArgumentParser
import ScenarioRuns

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs scenarios, each under several seeds.")

    @OptionGroup var options: RunOptions

    func run() async throws {
        let files = try options.files()
        var summary = RunSummary(options: options, command: "memkv-sim")
        await ScenarioRunner.run(files, options) { summary.take($0, of: $1) }
        summary.finish(files)
        if summary.hasFailed { throw ExitCode(1) }
    }
}
