// RunCommand: runs scenarios over seeds, side by side, and prints a verdict for each run.
//
// Always holds: what is printed doesn't depend on how many run side by side: results come in the
// order of scenarios and seeds.

import ArgumentParser
import Simulation

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs scenarios, each under several seeds.")

    @Argument(help: "Scenario files, or folders of them.") var paths: [String]
    @Option(help: "The one seed to run.") var seed: UInt64?
    @Option(help: "How many seeds, from --first-seed on.") var seeds: UInt64 = 1
    @Option(help: "The first seed.") var firstSeed: UInt64 = 1
    @Option(help: "Go on with further seeds for so many minutes.") var minutes: Double?
    @Option(help: "Runs side by side.") var jobs = 2
    @Flag(help: "One JSON object for each run.") var json = false
    @Flag(help: "Print every event: number, virtual nanoseconds, what, three words.") var trace =
        false
    @Flag(help: "Only runs that failed, and the sums.") var quiet = false
    @Flag(help: "Fail when a state of the list was never reached.") var requireReached = false
    #if PLANTED_BUGS
    @Option(help: "Plants a mistake in the engine, to see it caught.") var plant: String?
    #endif

    func validate() throws {
        if jobs < 1 { throw ValidationError("--jobs \(jobs): at least 1") }
        if seeds < 1 { throw ValidationError("--seeds \(seeds): at least 1") }
        if trace, seed == nil { throw ValidationError("--trace needs --seed: one run at a time") }
    }

    func run() async throws {
        var files = try ScenarioFiles.read(paths)
        #if PLANTED_BUGS
        if let plant {
            let known = SimulatedRun.plantableMistakes
            guard known.contains(plant) else {
                throw ValidationError("--plant \(plant): one of " + known.joined(separator: ", "))
            }
            files = files.map { file in
                var scenario = file.scenario
                scenario.store.plantedBug = plant
                return ScenarioFile(path: file.path, scenario: scenario)
            }
        }
        #else
        if let file = files.first(where: { $0.scenario.store.plantedBug != nil }) {
            throw ValidationError(
                "\(file.path): plants a mistake, which needs a test build: swift build --product "
                    + "memkv-sim")
        }
        #endif
        var summary = RunSummary(options: self)
        if trace {
            for file in files {
                summary.take(Self.traced(file, seed: seed ?? 1), of: file)
            }
        } else {
            await runAll(files, into: &summary)
        }
        summary.finish(files)
        if summary.hasFailed { throw ExitCode(1) }
    }

    private func runAll(_ files: [ScenarioFile], into summary: inout RunSummary) async {
        let clock = ContinuousClock()
        let end = minutes.map { clock.now.advanced(by: .seconds($0 * 60)) }
        var first = seed ?? firstSeed
        let count = seed == nil ? seeds : 1
        repeat {
            let runs = files.flatMap { file in
                (first..<first + count).map { (file: file, seed: $0) }
            }
            await Self.run(runs, jobs: jobs) { summary.take($0, of: $1) }
            first += count
        } while end.map { clock.now < $0 } ?? false
    }

    /// Runs side by side, and hands the reports over in order.
    private static func run(
        _ runs: [(file: ScenarioFile, seed: UInt64)], jobs: Int,
        _ take: (RunReport, ScenarioFile) -> Void
    ) async {
        await withTaskGroup(of: (Int, RunReport).self) { group in
            var next = 0
            var waiting: [Int: RunReport] = [:]
            var taken = 0
            func add() {
                guard next < runs.count else { return }
                let (place, run) = (next, runs[next])
                next += 1
                group.addTask { (place, Self.timed(run.file, seed: run.seed)) }
            }
            for _ in 0..<jobs { add() }
            while let (place, report) = await group.next() {
                add()
                waiting[place] = report
                while let report = waiting.removeValue(forKey: taken) {
                    take(report, runs[taken].file)
                    taken += 1
                }
            }
        }
    }

    private static func timed(
        _ file: ScenarioFile, seed: UInt64, trace: SimulatedRun.Tracer? = nil
    ) -> RunReport {
        let clock = ContinuousClock()
        let began = clock.now
        var report = SimulatedRun.run(file.scenario, seed: seed, trace: trace)
        let real = began.duration(to: clock.now)
        report.realMicroseconds =
            UInt64(real.components.seconds) * 1_000_000
            + UInt64(real.components.attoseconds / 1_000_000_000_000)
        return report
    }

    private static func traced(_ file: ScenarioFile, seed: UInt64) -> RunReport {
        timed(file, seed: seed) { number, nanoseconds, event, first, second, third in
            print("\(number) \(nanoseconds) \(event) \(first) \(second) \(third)")
        }
    }
}
