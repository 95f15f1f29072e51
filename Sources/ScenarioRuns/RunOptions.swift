// RunOptions: what a command that runs scenarios can be told, the same for every such command.

package import ArgumentParser
internal import Simulation

package struct RunOptions: ParsableArguments {
    @Argument(help: "Scenario files, or folders of them.") package var paths: [String]
    @Option(help: "The one seed to run.") package var seed: UInt64?
    @Option(help: "How many seeds, from --first-seed on.") package var seeds: UInt64 = 1
    @Option(help: "The first seed.") package var firstSeed: UInt64 = 1
    @Option(help: "Go on with further seeds for so many minutes.") package var minutes: Double?
    @Option(help: "Runs side by side.") package var jobs = 2
    @Flag(help: "One JSON object for each run.") package var json = false
    @Flag(help: "Print every event: number, virtual nanoseconds, what, three words.")
    package var trace = false
    @Flag(help: "Only runs that failed, and the sums.") package var quiet = false
    @Flag(help: "Fail when a state of the list was never reached.")
    package var requireReached = false
    #if PLANTED_BUGS
    @Option(help: "Plants a mistake in the engine, to see it caught.") package var plant: String?
    #endif

    package init() {}

    package mutating func validate() throws {
        if jobs < 1 { throw ValidationError("--jobs \(jobs): at least 1") }
        if seeds < 1 { throw ValidationError("--seeds \(seeds): at least 1") }
        if trace, seed == nil { throw ValidationError("--trace needs --seed: one run at a time") }
    }

    /// The scenarios of `paths`, with the mistake to be planted.
    package func files() throws -> [ScenarioFile] {
        let files = try ScenarioFiles.read(paths)
        #if PLANTED_BUGS
        guard let plant else { return files }
        let known = SimulatedRun.plantableMistakes
        guard known.contains(plant) else {
            throw ValidationError("--plant \(plant): one of " + known.joined(separator: ", "))
        }
        return files.map { file in
            var scenario = file.scenario
            scenario.store.plantedBug = plant
            return ScenarioFile(path: file.path, text: file.text, scenario: scenario)
        }
        #else
        for file in files { try Self.refuseMistakes(file) }
        return files
        #endif
    }

    /// Builds that hold no planted mistakes don't run scenarios that plant one.
    package static func refuseMistakes(_ file: ScenarioFile) throws {
        #if !PLANTED_BUGS
        guard file.scenario.store.plantedBug != nil else { return }
        throw ValidationError(
            "\(file.path): plants a mistake, which needs a test build: swift build --product "
                + "memkv-sim")
        #endif
    }

    /// The mistake that the command line plants.
    package var planted: String? {
        #if PLANTED_BUGS
        plant
        #else
        nil
        #endif
    }
}
