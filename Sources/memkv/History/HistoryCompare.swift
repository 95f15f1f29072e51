// history compare: is the second side slower than the first? One or several runs on each side.

import ArgumentParser
import Foundation
import History

struct HistoryCompare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Is B slower than A? Medians, intervals and a verdict.",
        discussion: """
            A and B are numbers of recorded benchmarks, several with commas, or a commit by its \
            first seven digits or more: all its runs of a clean working copy. Runs that were \
            measured in turns (`memkv bench run --against MEMKVD`) are compared round by round. \
            Docs/history.md says how sure a verdict is.
            """)

    @Argument(help: "What to compare with.") var a: RunSelection
    @Argument(help: "What is compared.") var b: RunSelection
    @Option(
        help: ArgumentHelp(
            "End with 1 when anything is slower by more than this.", valueName: "percent"))
    var failIfSlower: Double?
    @OptionGroup var history: HistoryOptions
    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    func validate() throws {
        if let failIfSlower, !(failIfSlower >= 0 && failIfSlower < 1000) {
            throw ValidationError("--fail-if-slower \(failIfSlower): give 0 to 1000 percent")
        }
    }

    private struct Answer: Encodable {
        let runsA: [Int64]
        let runsB: [Int64]
        let comparison: RunComparison
    }

    func run() throws {
        let store = try history.openForReading()
        let sideA = try a.runs(in: store)
        let sideB = try b.runs(in: store)
        guard let comparison = RunComparison(sideA.map(\.record), sideB.map(\.record)) else {
            throw CommandFailure(
                .usage,
                "\(a) and \(b) have no measurement in common that was measured in "
                    + "\(RunComparison.fewestSamples) rounds or more of each; give runs of one "
                    + "profile")
        }
        let answer = Answer(
            runsA: sideA.map(\.number.rawValue), runsB: sideB.map(\.number.rawValue),
            comparison: comparison)
        if global.json || root.global.json {
            try Terminal.json(answer, keys: .convertToSnakeCase)
        } else {
            Terminal.print(ComparisonTable.text(of: comparison, sideA, sideB))
        }
        guard let failIfSlower else { return }
        let slower = comparison.slower(byMoreThan: failIfSlower)
        if !slower.isEmpty {
            throw CommandFailure(
                .difference,
                "slower by more than \(BenchTable.digits(failIfSlower)) %: "
                    + slower.map(\.name).joined(separator: "; "))
        }
    }
}

/// Runs as the command line names them.
struct RunSelection: ExpressibleByArgument, CustomStringConvertible {
    private enum Part {
        case run(RunNumber)
        case commit(String)
    }

    private let parts: [Part]
    let description: String

    private static let fewestCommitDigits = 7

    init?(argument: String) {
        description = argument
        let words = argument.split(separator: ",", omittingEmptySubsequences: false)
        let parts = words.compactMap { word -> Part? in
            if let number = Int64(word), number > 0 { return .run(RunNumber(number)) }
            let isCommit = word.count >= Self.fewestCommitDigits && word.allSatisfy(\.isHexDigit)
            return isCommit ? .commit(String(word)) : nil
        }
        guard parts.count == words.count else { return nil }
        self.parts = parts
    }

    /// The benchmarks that are meant; one or more.
    func runs(
        in store: HistoryStore
    ) throws(CommandFailure) -> [(number: RunNumber, record: RunRecord)] {
        let found: [(number: RunNumber, record: RunRecord)]
        do throws(HistoryError) {
            found = try records(in: store)
        } catch {
            throw CommandFailure(error)
        }
        if let wrong = found.first(where: { $0.record.facts.kind != .bench }) {
            throw CommandFailure(
                .usage,
                "run \(wrong.number) is a simulation, and only benchmarks are compared; "
                    + "`memkv sim replay \(wrong.number)` compares it with itself")
        }
        guard !found.isEmpty else {
            throw CommandFailure(
                .difference, "no benchmark of \(self), of a clean working copy, is recorded")
        }
        return found
    }

    private func records(
        in store: HistoryStore
    ) throws(HistoryError) -> [(number: RunNumber, record: RunRecord)] {
        var found: [(number: RunNumber, record: RunRecord)] = []
        for part in parts {
            for number in try numbers(of: part, in: store) {
                found.append((number, try store.run(number)))
            }
        }
        return found
    }

    private func numbers(
        of part: Part, in store: HistoryStore
    ) throws(HistoryError) -> [RunNumber] {
        switch part {
        case .run(let number): [number]
        case .commit(let digits): try store.benchmarks(ofCommit: digits)
        }
    }
}
