// HistoryStore: the database of runs: opened, added to, read.
//
// Always holds: a run is there wholly or not at all; several processes may write at the same time
// (write-ahead log, and a writer waits for another). Nothing is ever changed once recorded.
// Refuses: a newer memkv's database, another program's.

import Foundation
import GRDB

package final class HistoryStore {
    package let path: String
    private let database: DatabaseQueue

    /// How long a writer waits for another one.
    private static let patienceSeconds = 10.0

    /// Opens the database; makes it when `isNew` allows.
    package init(path: String, mayBeNew isNew: Bool) throws(HistoryError) {
        self.path = path
        guard isNew || FileManager.default.fileExists(atPath: path) else {
            throw .absent(path: path)
        }
        database = try Self.open(path)
    }

    // MARK: Opening

    /// Two processes that make the file at the same time can be in each other's way where SQLite
    /// doesn't wait (the change to a write-ahead log) or where both apply a migration: the one that
    /// lost tries again, and finds it done.
    private static func open(_ path: String) throws(HistoryError) -> DatabaseQueue {
        let end = Date().addingTimeInterval(patienceSeconds)
        while true {
            do {
                return try prepare(path)
            } catch let refusal as HistoryError {
                throw refusal
            } catch let error as DatabaseError where isRace(error) && Date() < end {
                Thread.sleep(forTimeInterval: .random(in: 0.005...0.05))
            } catch {
                throw .failed(path: path, reason: "\(error)")
            }
        }
    }

    private static func prepare(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.busyMode = .timeout(patienceSeconds)
        configuration.label = "memkv history"
        // With a write-ahead log: whole runs after a crash of the machine, if not the last of them.
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = NORMAL") }
        let database = try DatabaseQueue(path: path, configuration: configuration)
        let migrator = HistorySchema.migrator
        // Looks before it touches anything: the file may be somebody else's.
        try database.read { database in
            let applicationID = try Int32.fetchOne(database, sql: "PRAGMA application_id")
            let tables = try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_master") ?? 0
            let isOurs = applicationID == HistorySchema.applicationID
            // A file that another process is just making has no more than the migrator's table.
            let isBeingMade = try database.tableExists("grdb_migrations")
            guard isOurs || tables == 0 || isBeingMade else {
                throw HistoryError.foreign(path: path)
            }
            guard try !migrator.hasBeenSuperseded(database) else {
                throw isOurs ? HistoryError.newer(path: path) : .foreign(path: path)
            }
        }
        try database.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA journal_mode = WAL")
        }
        try migrator.migrate(database)
        return database
    }

    private static func isRace(_ error: DatabaseError) -> Bool {
        switch error.resultCode {
        case .SQLITE_BUSY, .SQLITE_LOCKED: true
        // What a migration meets that another process has just applied.
        case .SQLITE_CONSTRAINT: true
        case .SQLITE_ERROR: error.message?.contains("already exists") == true
        default: false
        }
    }

    private func access<Value>(
        _ body: () throws -> Value
    ) throws(HistoryError) -> Value {
        do {
            return try body()
        } catch let refusal as HistoryError {
            throw refusal
        } catch {
            throw .failed(path: path, reason: "\(error)")
        }
    }

    // MARK: Writing

    /// Adds a run; returns the number it is called by from now on.
    package func record(_ run: RunRecord) throws(HistoryError) -> RunNumber {
        try access {
            try database.writeWithoutTransaction { database in
                var number = RunNumber(0)
                // Immediate: waits for another writer before it has read anything.
                try database.inTransaction(.immediate) {
                    number = try RunRows.insert(run, into: database)
                    return .commit
                }
                return number
            }
        }
    }

    // MARK: Reading

    /// The latest runs, the newest first.
    package func latest(
        _ limit: Int, kind: RunKind? = nil
    ) throws(HistoryError) -> [(number: RunNumber, facts: RunFacts)] {
        try access {
            try database.read { try RunRows.latest(limit, kind: kind, in: $0) }
        }
    }

    /// A run with everything that is kept of it.
    package func run(_ number: RunNumber) throws(HistoryError) -> RunRecord {
        try access {
            guard let run = try database.read({ try RunRows.run(number, in: $0) }) else {
                throw HistoryError.noSuchRun(number, path: path)
            }
            return run
        }
    }

    /// Benchmarks of the clean working copy of a commit, named by its first digits.
    package func benchmarks(ofCommit digits: String) throws(HistoryError) -> [RunNumber] {
        try access {
            try database.read { try RunRows.benchmarks(ofCommit: digits, in: $0) }
        }
    }
}
