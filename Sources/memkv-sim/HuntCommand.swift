// HuntCommand: plants one mistake after the other and says by what each was caught, then looks for
// false alarms.

import ArgumentParser
import Foundation
import ScenarioRuns
import Simulation

struct HuntCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hunt", abstract: "Plants mistakes in the store and sees them caught.",
        discussion: """
            Needs a test build: swift build --product memkv-sim, or, many times faster,
            swift build -c release --traits PlantedBugs --scratch-path .build/planted \\
                --product memkv-sim
            """)

    @Argument(help: "Scenario files, or folders of them.")
    var paths = ["SimScenarios/faults", "SimScenarios/regressions"]
    @Option(help: "The first seed.") var firstSeed: UInt64 = 1
    @Option(help: "Seeds of every scenario that a mistake may take.") var seeds: UInt64 = 40
    @Option(help: "Seeds of every scenario without a mistake.") var cleanSeeds: UInt64 = 1
    @Option(help: "The mistakes to plant, separated by commas; all if none is named.")
    var mistakes: String?
    @Option(help: "Processes side by side.") var jobs = 2
    @Flag(help: .hidden) var inProcess = false

    #if PLANTED_BUGS
    func validate() throws {
        if seeds < 1 { throw ValidationError("--seeds \(seeds): at least 1") }
        if jobs < 1 { throw ValidationError("--jobs \(jobs): at least 1") }
        _ = try wanted()
    }

    private func wanted() throws -> [String] {
        let known = SimulatedRun.plantableMistakes
        guard let mistakes else {
            return known.filter { !SimulatedRun.mistakesBeyondThisWorld.contains($0) }
        }
        let names = mistakes.split(separator: ",").map(String.init)
        for name in names where !known.contains(name) {
            throw ValidationError(
                "--mistakes \(name): one of " + known.joined(separator: ", "))
        }
        return names
    }

    func run() async throws {
        let names = try wanted()
        let files = try ScenarioFiles.read(paths)
        let range = firstSeed..<firstSeed + seeds
        if inProcess {
            for name in names {
                if let found = BugHunt.hunt(name, in: files, seeds: range) { print(found.line) }
            }
            return
        }
        let escaped = try await hunt(names)
        var alarms: [RunReport] = []
        if cleanSeeds > 0 {
            alarms = await BugHunt.falseAlarms(
                files, seeds: firstSeed..<firstSeed + cleanSeeds, jobs: jobs)
            for alarm in alarms {
                print("FALSE ALARM \(alarm.scenario) seed \(alarm.seed): \(Self.why(alarm))")
            }
        }
        print(
            "\(names.count - escaped) of \(names.count) mistakes caught, \(alarms.count) false "
                + "alarms in \(cleanSeeds * UInt64(files.count)) runs without a mistake")
        if escaped > 0 || !alarms.isEmpty { throw ExitCode(1) }
    }

    private static func why(_ report: RunReport) -> String {
        report.violation.map { "\($0.assertion): \($0.detail)" }
            ?? "below its minimum: " + report.shortfalls.joined(separator: ", ")
    }

    /// Prints how each was caught, in the order of `names`; returns how many weren't.
    private func hunt(_ names: [String]) async throws -> Int {
        let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().path
        var escaped = 0
        try await withThrowingTaskGroup(of: (Int, BugHunt.End).self) { group in
            var next = 0
            var waiting: [Int: BugHunt.End] = [:]
            var told = 0
            func add() {
                guard next < names.count else { return }
                let place = next
                next += 1
                let arguments =
                    ["hunt", "--in-process", "--mistakes", names[place], "--first-seed"]
                    + ["\(firstSeed)", "--seeds", "\(seeds)"] + paths
                group.addTask { (place, try await BugHunt.hunt(program: program, arguments)) }
            }
            for _ in 0..<jobs { add() }
            while let (place, end) = try await group.next() {
                add()
                waiting[place] = end
                while let end = waiting.removeValue(forKey: told) {
                    if !tell(names[told], end) { escaped += 1 }
                    told += 1
                }
            }
        }
        return escaped
    }

    /// True when it was caught.
    private func tell(_ name: String, _ end: BugHunt.End) -> Bool {
        defer { fflush(nil) }
        switch end {
        case .caught(let found):
            print(
                "caught \(name) after \(found.seeds) seeds, \(found.runs) runs: "
                    + "\(found.assertion) in \(found.path) seed \(found.seed)")
            return true
        case .escaped: print("ESCAPED \(name): \(seeds) seeds of every scenario")
        case .died(let signal):
            print("ESCAPED \(name): the process died by signal \(signal), and nobody judged")
        }
        return false
    }
    #else
    func run() async throws {
        throw ValidationError(
            "this build holds no mistakes to plant; see memkv-sim hunt --help for one that does")
    }
    #endif
}
