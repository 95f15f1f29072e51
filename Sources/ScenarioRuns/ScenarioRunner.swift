// ScenarioRunner: runs scenarios over seeds, side by side.
//
// Always holds: what comes out doesn't depend on how many run side by side: reports come in the
// order of scenarios and seeds.

package import Simulation

package enum ScenarioRunner {
    /// Runs `files` as `options` say, and hands each report over.
    package static func run(
        _ files: [ScenarioFile], _ options: RunOptions, _ take: (RunReport, ScenarioFile) -> Void
    ) async {
        guard !options.trace else {
            for file in files { take(traced(file, seed: options.seed ?? 1), file) }
            return
        }
        let clock = ContinuousClock()
        let end = options.minutes.map { clock.now.advanced(by: .seconds($0 * 60)) }
        var first = options.seed ?? options.firstSeed
        let count = options.seed == nil ? options.seeds : 1
        repeat {
            let runs = files.flatMap { file in
                (first..<first + count).map { (file: file, seed: $0) }
            }
            await run(runs, jobs: options.jobs, take)
            first += count
        } while end.map { clock.now < $0 } ?? false
    }

    /// Runs side by side, and hands the reports over in order.
    package static func run(
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
                group.addTask { (place, timed(run.file.scenario, seed: run.seed)) }
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

    /// One run with the real time that it took.
    package static func timed(
        _ scenario: Scenario, seed: UInt64, trace: SimulatedRun.Tracer? = nil
    ) -> RunReport {
        let clock = ContinuousClock()
        let began = clock.now
        var report = SimulatedRun.run(scenario, seed: seed, trace: trace)
        let real = began.duration(to: clock.now)
        report.realMicroseconds =
            UInt64(real.components.seconds) * 1_000_000
            + UInt64(real.components.attoseconds / 1_000_000_000_000)
        return report
    }

    /// One run, every event of it printed.
    package static func traced(_ file: ScenarioFile, seed: UInt64) -> RunReport {
        timed(file.scenario, seed: seed) { number, nanoseconds, event, first, second, third in
            Output.say("\(number) \(nanoseconds) \(event) \(first) \(second) \(third)")
        }
    }
}
