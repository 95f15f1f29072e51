// crash-enumeration: walks through every short workload, every instant, every subset, and says what
// it saw.
//
// Exit codes: 0 nothing violated, 1 a violation (with the command that repeats it), 2 wrong usage.

import ArgumentParser
import CrashEnumeration
import Engine
import Judgement
import Sim

@main
struct CrashEnumerationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash-enumeration",
        abstract: "Crashes the store at every device operation and judges every recovery.",
        subcommands: subcommands, defaultSubcommand: Walk.self)

    private static var subcommands: [any ParsableCommand.Type] {
        #if PLANTED_BUGS
        [Walk.self, RunScenario.self, RunHunt.self]
        #else
        [Walk.self, RunScenario.self]
        #endif
    }
}

#if PLANTED_BUGS
/// Looks for one planted bug, or for each.
struct RunHunt: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hunt", abstract: "Plants each bug in turn and looks for it.")

    @Argument(help: "The bug; all of them when not given.") var bug: String?
    @Option(help: "Seed of latencies and samples.") var seed: UInt64 = 1

    func run() throws {
        var missed = 0
        for hunt in Hunt.all where bug == nil || bug == hunt.bug.rawValue {
            let found = hunt.run(seed: seed)
            let isRight = found?.violation.assertion == hunt.assertion
            print("\(isRight ? "found" : "MISSED") \(hunt.bug) by \(hunt.assertion.rawValue)")
            if let found { describe(found, seed: seed) }
            if !isRight { missed += 1 }
        }
        if missed > 0 { throw ExitCode(1) }
    }
}
#endif

/// Bounds and filters of a walk.
struct Walk: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "walk", abstract: "Every workload up to a depth, or one of them.")

    @Option(help: "Longest workload, in steps.") var depth = 3
    @Option(help: "Seed of latencies and samples.") var seed: UInt64 = 1
    @Option(help: "Logical block of the drive: 512 or 4096; both when not given.") var sector: Int?
    @Option(help: "One workload: steps with commas between, such as put,delete,checkpoint.")
    var workload: String?
    @Option(help: "sequential or pipelined; both when not given.") var pacing: String?
    @Option(help: "One crash point.") var point: Int?
    @Option(help: "One resolution of the unflushed sectors.") var outcome: Int?
    @Option(help: "One crash point of the recovery.") var secondPoint: Int?
    @Option(help: "One resolution at that point.") var secondOutcome: Int?
    @Option(help: "Resolutions tried exhaustively up to this many.") var combinations = 64
    @Option(help: "Seeded resolutions per crash point beyond the fixed ones.") var samples = 8
    @Option(help: "Crash points tried in each recovery.") var secondCrashes = 4
    @Option(help: "Every so-manieth image gets new blocks, a drain and a restart.")
    var aftercare: UInt64 = 1
    @Flag(help: "Print a line per workload.") var verbose = false
    @Flag(help: "After a violation go on with the next workload.") var keepGoing = false

    func validate() throws {
        if let sector, sector != 512, sector != 4096 {
            throw ValidationError(
                "--sector \(sector): a drive's logical block is 512 or 4096 bytes")
        }
        if let workload, Workload(workload) == nil {
            let names = WorkloadStep.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--workload \(workload): the steps are \(names)")
        }
        if let pacing, Pacing(rawValue: pacing) == nil {
            throw ValidationError("--pacing \(pacing): it is sequential or pipelined")
        }
        if aftercare == 0 { throw ValidationError("--aftercare must be at least 1") }
    }

    func run() throws {
        let workloads = workload.flatMap { Workload($0) }.map { [$0] } ?? Workload.all(depth: depth)
        let pacings = pacing.flatMap { Pacing(rawValue: $0) }.map { [$0] } ?? Pacing.allCases
        var violations = 0
        for sector in sector.map({ [$0] }) ?? [4096, 512] {
            var walk = Enumeration<EngineStore>(settings: settings(sector: sector))
            for pacing in pacings {
                for workload in workloads {
                    if step(&walk, workload, pacing, sector) { continue }
                    violations += 1
                    if !keepGoing { throw ExitCode(1) }
                }
            }
            report(walk, sector)
        }
        if violations > 0 {
            print("\(violations) workloads with a violation")
            throw ExitCode(1)
        }
    }

    private func settings(sector: Int) -> CrashSettings {
        var settings = CrashSettings()
        settings.seed = seed
        settings.logicalBlockBytes = sector
        settings.combinationLimit = combinations
        settings.sampleLimit = samples
        settings.secondCrashLimit = secondCrashes
        settings.aftercareInterval = aftercare
        return settings
    }

    /// False when there was a violation, which is then printed.
    private func step(
        _ walk: inout Enumeration<EngineStore>, _ workload: Workload, _ pacing: Pacing,
        _ sector: Int
    ) -> Bool {
        walk.only = CrashPlace(
            workload: workload, pacing: pacing, point: point, outcome: outcome,
            secondPoint: secondPoint, secondOutcome: secondOutcome)
        do throws(FoundViolation) {
            try walk.walk(workload, pacing: pacing)
        } catch {
            describe(error, seed: seed)
            print(
                "  repeat with: crash-enumeration --seed \(seed) --sector \(sector) "
                    + "--combinations \(combinations) --samples \(samples) "
                    + "--second-crashes \(secondCrashes) --aftercare 1 \(error.place.arguments)")
            return false
        }
        if verbose {
            print(
                "\(sector) \(pacing.rawValue) \(workload): \(walk.counts.images) images, "
                    + "fingerprint \(walk.fingerprint.hexadecimal)")
        }
        return true
    }

    private func report(_ walk: Enumeration<EngineStore>, _ sector: Int) {
        print("sectors of \(sector) bytes, seed \(seed)")
        describe(walk)
    }
}

/// One world made to order.
struct RunScenario: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scenario",
        abstract: "One scenario, or each: "
            + Scenario.allCases.map(\.rawValue).joined(separator: ", ") + ".")

    @Argument(help: "The scenario's name; all of them when not given.") var name: String?
    @Option(help: "Seed of latencies and samples.") var seed: UInt64 = 1
    @Option(help: "Logical block of the drive: 512 or 4096.") var sector = 512

    func validate() throws {
        if let name, Scenario(rawValue: name) == nil {
            throw ValidationError("there is no scenario \(name)")
        }
    }

    func run() throws {
        for scenario in name.flatMap({ Scenario(rawValue: $0) }).map({ [$0] }) ?? Scenario.allCases
        {
            var settings = CrashSettings()
            settings.seed = seed
            settings.logicalBlockBytes = sector
            var walk = Enumeration<EngineStore>(settings: scenario.adapted(settings))
            do throws(FoundViolation) {
                try walk.run(scenario)
            } catch {
                describe(error, seed: seed)
                print(
                    "  repeat with: crash-enumeration scenario \(scenario.rawValue) "
                        + "--seed \(seed) --sector \(sector)")
                throw ExitCode(1)
            }
            print("scenario \(scenario.rawValue), sectors of \(sector) bytes, seed \(seed)")
            describe(walk)
        }
    }
}

private func describe(_ found: FoundViolation, seed: UInt64) {
    print("VIOLATION \(found.violation)")
    print("  workload \(found.place.workload), \(found.place.pacing.rawValue), seed \(seed)")
    print("  \(found.circumstances)")
}

private func describe(_ walk: Enumeration<EngineStore>) {
    let counts = walk.counts
    print(
        """
          workloads                \(counts.workloads)
          instants                 \(counts.instants)
          crash points             \(counts.crashPoints)
          images judged            \(counts.images)
          equal images skipped     \(counts.equalImages)
          second crashes           \(counts.secondCrashes)
          recoveries               \(counts.recoveries)
          unfinished found done    \(counts.unfinishedLanded)
          unfinished found undone  \(counts.unfinishedLost)
          fingerprint              \(walk.fingerprint.hexadecimal)
        """)
}
