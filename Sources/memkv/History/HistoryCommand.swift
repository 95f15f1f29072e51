// history: the recorded runs: what there is, one of them, two of them compared.

import ArgumentParser
import Foundation
import History

struct HistoryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "Recorded runs of simulations and benchmarks.",
        discussion: """
            `memkv bench run` and `memkv sim run` record what they do in \
            $XDG_STATE_HOME/memkv/history.sqlite (~/.local/state without the variable), or in \
            the file that --db names. Docs/history.md says what is kept.
            """,
        subcommands: [HistoryList.self, HistoryShow.self, HistoryCompare.self])
}

/// Which database.
struct HistoryOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where runs are recorded. (default: in the user's state directory)", valueName: "file"))
    var db: String?

    /// What a command printed for the user needs to find the same database again.
    var repeated: String {
        guard let db else { return "" }
        let isPlain = db.allSatisfy { $0.isLetter || $0.isNumber || "/._-".contains($0) }
        return " --db " + (isPlain ? db : "'\(db.replacing("'", with: "'\\''"))'")
    }

    /// Opens the database; makes it where it isn't there.
    func openForWriting() throws(CommandFailure) -> HistoryStore {
        do throws(HistoryError) {
            let path = try path()
            if db == nil { try HistoryLocation.makeFolder(of: path) }
            return try HistoryStore(path: path, mayBeNew: true)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// Opens one that is there.
    func openForReading() throws(CommandFailure) -> HistoryStore {
        do throws(HistoryError) {
            return try HistoryStore(path: try path(), mayBeNew: false)
        } catch {
            throw CommandFailure(error)
        }
    }

    private func path() throws(HistoryError) -> String {
        if let db { return db }
        let environment = ProcessInfo.processInfo.environment
        guard let path = HistoryLocation.standard(environment: environment) else {
            throw .failed(
                path: "the history",
                reason: "neither XDG_STATE_HOME nor HOME is set, so it has no place")
        }
        return path
    }
}

extension CommandFailure {
    init(_ error: HistoryError) {
        if case .noSuchRun = error {
            self.init(.difference, "\(error)")
        } else {
            self.init(.usage, "\(error)")
        }
    }
}

struct HistoryList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "The latest runs, the newest last.")

    @Option(help: ArgumentHelp("Only these.", valueName: "sim|bench")) var kind: RunKind?
    @Option(help: "How many at most.") var limit = 30
    @OptionGroup var history: HistoryOptions
    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    func validate() throws {
        guard limit > 0 else { throw ValidationError("--limit \(limit): give 1 or more") }
    }

    func run() throws {
        let store = try history.openForReading()
        let runs: [(number: RunNumber, facts: RunFacts)]
        do throws(HistoryError) {
            runs = try store.latest(limit, kind: kind).reversed()
        } catch {
            throw CommandFailure(error)
        }
        if global.json || root.global.json {
            return try Terminal.json(
                ["runs": runs.map { ListedRun(run: $0.number.rawValue, facts: $0.facts) }],
                keys: .convertToSnakeCase)
        }
        Terminal.print(HistoryTable.list(runs))
    }
}

extension RunKind: ExpressibleByArgument {}

/// A run as JSON shows it in a list.
private struct ListedRun: Encodable {
    let run: Int64
    let facts: RunFacts
}

struct HistoryShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "All that is kept of a run.")

    @Argument(
        help: ArgumentHelp("Its number, as `memkv history list` shows it.", valueName: "run"))
    var number: Int64
    @Option(
        help: ArgumentHelp(
            "Draw the timeline of a simulation there, as a page by itself.", valueName: "file"))
    var html: String?
    @OptionGroup var history: HistoryOptions
    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    private struct ShownRun: Encodable {
        let run: Int64
        let record: RunRecord
    }

    func run() throws {
        let store = try history.openForReading()
        let record: RunRecord
        do throws(HistoryError) {
            record = try store.run(RunNumber(number))
        } catch {
            throw CommandFailure(error)
        }
        if let html { try TimelineFile.write(record, to: html) }
        if global.json || root.global.json {
            return try Terminal.json(
                ShownRun(run: number, record: record), keys: .convertToSnakeCase)
        }
        Terminal.print(HistoryTable.one(RunNumber(number), record))
    }
}
