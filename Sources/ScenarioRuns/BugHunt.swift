// BugHunt: does the judge see mistakes? Each mistake that can be planted is run in every scenario,
// seed after seed, until a run breaks a promise; then seeds of the sound store, none of which may.
//
// Always holds: scenarios and judge are those of any other run, and know of no mistake; the seeds
// are those that the caller names. A mistake is hunted in a process of its own, so that one that
// brings the process down is told from one that was judged.

#if PLANTED_BUGS
internal import Foundation
package import Simulation

/// How a mistake was caught.
package struct Catch: Sendable {
    package let mistake: String
    /// Seeds it took, the one that caught it included.
    package let seeds: UInt64
    package let runs: Int
    package let seed: UInt64
    package let path: String
    package let assertion: String

    /// For another process: fields that hold no tabs, one line.
    package var line: String {
        ["caught", mistake, "\(seeds)", "\(runs)", "\(seed)", path, assertion]
            .joined(separator: "\t")
    }

    package init?(line: String) {
        let fields = line.split(separator: "\t").map(String.init)
        guard fields.count == 7, fields[0] == "caught", let seeds = UInt64(fields[2]),
            let runs = Int(fields[3]), let seed = UInt64(fields[4])
        else { return nil }
        mistake = fields[1]
        self.seeds = seeds
        self.runs = runs
        self.seed = seed
        path = fields[5]
        assertion = fields[6]
    }

    init(
        _ mistake: String, seeds: UInt64, runs: Int, seed: UInt64, path: String, assertion: String
    ) {
        self.mistake = mistake
        self.seeds = seeds
        self.runs = runs
        self.seed = seed
        self.path = path
        self.assertion = assertion
    }
}

package enum BugHunt {
    /// Runs `mistake` in this process until it is caught; nil when no seed of the range did.
    package static func hunt(
        _ mistake: String, in files: [ScenarioFile], seeds: Range<UInt64>
    ) -> Catch? {
        var runs = 0
        for seed in seeds {
            for file in files {
                var scenario = file.scenario
                scenario.store.plantedBug = mistake
                runs += 1
                let report = SimulatedRun.run(scenario, seed: seed)
                guard let violation = report.violation else { continue }
                return Catch(
                    mistake, seeds: seed - seeds.lowerBound + 1, runs: runs, seed: seed,
                    path: file.path, assertion: violation.assertion)
            }
        }
        return nil
    }

    /// How a hunt in a process of its own ended.
    package enum End: Sendable {
        case caught(Catch)
        case escaped
        /// The process died by this signal: nobody judged.
        case died(signal: Int32)
    }

    /// Hunts `mistake` in a process of `program` with `arguments`, which print a `Catch`'s line.
    package static func hunt(
        program: String, _ arguments: [String]
    ) async throws -> End {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        if process.terminationReason == .uncaughtSignal {
            return .died(signal: process.terminationStatus)
        }
        for line in String(decoding: data, as: UTF8.self).split(separator: "\n") {
            if let found = Catch(line: String(line)) { return .caught(found) }
        }
        return .escaped
    }

    /// Runs of the sound store that didn't pass.
    package static func falseAlarms(
        _ files: [ScenarioFile], seeds: Range<UInt64>, jobs: Int
    ) async -> [RunReport] {
        let runs = seeds.flatMap { seed in files.map { (file: $0, seed: seed) } }
        var alarms: [RunReport] = []
        await ScenarioRunner.run(runs, jobs: jobs) { report, _ in
            if !report.hasPassed { alarms.append(report) }
        }
        return alarms
    }
}
#endif
