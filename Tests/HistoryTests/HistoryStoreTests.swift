// The database of runs: what goes in comes out, whoever else writes; what isn't ours is refused.

import Foundation
import GRDB
import History
import Testing

@Suite struct HistoryStoreTests {
    @Test func aRunComesBackAsItWentIn() throws {
        try Scratch.use { path in
            let store = try HistoryStore(path: path, mayBeNew: true)
            let run = Samples.simulation(seed: .max)
            let number = try store.record(run)
            let again = try HistoryStore(path: path, mayBeNew: false)
            #expect(try again.run(number) == run)
            #expect(try again.latest(10).map(\.number) == [number])
            #expect(try again.latest(10, kind: .bench).isEmpty)
        }
    }

    @Test func theNewestRunsAreListedFirst() throws {
        try Scratch.use { path in
            let store = try HistoryStore(path: path, mayBeNew: true)
            let numbers = try (0..<5).map { try store.record(Samples.simulation(seed: $0)) }
            #expect(try store.latest(3).map(\.number) == numbers.suffix(3).reversed())
        }
    }

    @Test func benchmarksOfACommitAreThoseOfItsCleanWorkingCopy() throws {
        try Scratch.use { path in
            let store = try HistoryStore(path: path, mayBeNew: true)
            let commit = String(repeating: "abcdef0123", count: 4)
            var run = Samples.benchmark(commit: commit, isDirty: false)
            let clean = try store.record(run)
            run.facts.program.isDirty = true
            _ = try store.record(run)
            #expect(try store.benchmarks(ofCommit: "abcdef0") == [clean])
            #expect(try store.benchmarks(ofCommit: "ABCDEF0") == [clean])
            #expect(try store.benchmarks(ofCommit: "bcdef01").isEmpty)
        }
    }

    @Test func aRunThatIsNotThereIsNamed() throws {
        try Scratch.use { path in
            let store = try HistoryStore(path: path, mayBeNew: true)
            #expect(throws: HistoryError.noSuchRun(RunNumber(7), path: path)) {
                try store.run(RunNumber(7))
            }
        }
    }

    // MARK: Refusals

    @Test func nothingIsMadeForAReader() throws {
        try Scratch.use { path in
            #expect(throws: HistoryError.absent(path: path)) {
                try HistoryStore(path: path, mayBeNew: false)
            }
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test func aNewerDatabaseIsRefused() throws {
        try Scratch.use { path in
            _ = try HistoryStore(path: path, mayBeNew: true).record(Samples.simulation(seed: 1))
            try DatabaseQueue(path: path).write { database in
                try database.execute(
                    sql: "INSERT INTO grdb_migrations (identifier) VALUES ('colours')")
            }
            let before = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(throws: HistoryError.newer(path: path)) {
                try HistoryStore(path: path, mayBeNew: true)
            }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
        }
    }

    @Test func anotherProgramsDatabaseIsRefused() throws {
        try Scratch.use { path in
            try DatabaseQueue(path: path).write { database in
                try database.execute(sql: "CREATE TABLE run (mine TEXT)")
            }
            let before = try Data(contentsOf: URL(fileURLWithPath: path))
            #expect(throws: HistoryError.foreign(path: path)) {
                try HistoryStore(path: path, mayBeNew: true)
            }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
        }
    }

    @Test func whatIsNoDatabaseIsRefused() throws {
        try Scratch.use { path in
            let text = Data(repeating: 65, count: 8192)
            try text.write(to: URL(fileURLWithPath: path))
            #expect(throws: HistoryError.self) { try HistoryStore(path: path, mayBeNew: true) }
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == text)
        }
    }

    @Test func aFolderThatIsNotThereIsRefused() throws {
        #expect(throws: HistoryError.self) {
            try HistoryStore(path: "/nowhere/history.sqlite", mayBeNew: true)
        }
    }

    // MARK: Several processes

    @Test func twoProcessesMakeAndFillOneDatabase() async throws {
        let path = try Scratch.path()
        defer { Scratch.remove(path) }
        async let first: Void = writeTwenty(into: path)
        async let second: Void = writeTwenty(into: path)
        _ = await (first, second)
        let store = try HistoryStore(path: path, mayBeNew: false)
        let runs = try store.latest(100)
        #expect(runs.count == 40)
        for (number, facts) in runs {
            #expect(try store.run(number) == Samples.simulation(seed: facts.seed))
        }
    }

    private func writeTwenty(into path: String) async {
        await #expect(processExitsWith: .success) { [path] in
            // Opened anew for each, as commands do.
            for seed in UInt64(0)..<20 {
                let store = try HistoryStore(path: path, mayBeNew: true)
                _ = try store.record(Samples.simulation(seed: seed))
            }
        }
    }

    // MARK: Where it lies

    @Test func theStandardPlaceIsTheStateDirectory() {
        func place(_ environment: [String: String]) -> String? {
            HistoryLocation.standard(environment: environment)
        }
        #expect(
            place(["XDG_STATE_HOME": "/s", "HOME": "/h"]) == "/s/memkv/history.sqlite")
        #expect(place(["HOME": "/h"]) == "/h/.local/state/memkv/history.sqlite")
        #expect(
            place(["XDG_STATE_HOME": "s", "HOME": "/h"])
                == "/h/.local/state/memkv/history.sqlite")
        #expect(place([:]) == nil)
    }
}

/// A file for one test, removed after it with what SQLite puts beside it.
enum Scratch {
    static func use(_ body: (String) throws -> Void) throws {
        let path = try path()
        defer { remove(path) }
        try body(path)
    }

    static func path() throws -> String {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("memkv-history-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        return folder.appendingPathComponent("history.sqlite").path
    }

    static func remove(_ path: String) {
        try? FileManager.default.removeItem(
            at: URL(fileURLWithPath: path).deletingLastPathComponent())
    }
}
