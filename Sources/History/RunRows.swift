// RunRows: a run as rows of the tables, and back.

import Foundation
import GRDB

enum RunRows {
    // MARK: Writing

    static func insert(_ run: RunRecord, into database: Database) throws -> RunNumber {
        let number = try insert(run.facts, into: database)
        for series in run.series { try insert(series, of: number, into: database) }
        for span in run.spans {
            try database.execute(
                sql: """
                    INSERT INTO span
                        (run, lane, subject, label, from_microseconds, to_microseconds)
                    VALUES (?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    number.rawValue, span.lane, span.subject, span.label,
                    Int64(clamping: span.fromMicroseconds),
                    span.toMicroseconds.map { Int64(clamping: $0) },
                ])
        }
        for (name, value) in run.totals {
            try database.execute(
                sql: "INSERT INTO total (run, name, value) VALUES (?, ?, ?)",
                arguments: [number.rawValue, name, value])
        }
        return number
    }

    private static func insert(_ facts: RunFacts, into database: Database) throws -> RunNumber {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let configuration = try encoder.encode(facts.configuration)
        let columns: [(name: String, value: (any DatabaseValueConvertible)?)] = [
            ("kind", facts.kind.rawValue), ("started_at", facts.startedAt),
            ("scenario", facts.scenario), ("about", facts.about),
            ("scenario_hash", facts.scenarioHash),
            ("scenario_text", facts.scenarioText), ("seed", String(facts.seed)),
            ("version", facts.program.version), ("commit", facts.program.commit),
            ("is_dirty", facts.program.isDirty), ("toolchain", facts.program.toolchain),
            ("build_kind", facts.program.buildKind), ("kernel", facts.machine.kernel),
            ("processor", facts.machine.processor), ("device", facts.machine.device),
            ("configuration", String(decoding: configuration, as: UTF8.self)),
            ("fingerprint", facts.fingerprint),
            ("virtual_microseconds", facts.virtualMicroseconds.map { Int64(clamping: $0) }),
            ("real_microseconds", Int64(clamping: facts.realMicroseconds)),
            ("verdict", facts.verdict.rawValue), ("first_violation", facts.firstViolation),
            ("pairing", facts.pairing),
        ]
        let names = columns.map { "\"\($0.name)\"" }.joined(separator: ", ")
        let places = columns.map { _ in "?" }.joined(separator: ", ")
        try database.execute(
            sql: "INSERT INTO run (\(names)) VALUES (\(places))",
            arguments: StatementArguments(columns.map(\.value)))
        return RunNumber(database.lastInsertedRowID)
    }

    private static func insert(
        _ series: RunSeries, of number: RunNumber, into database: Database
    ) throws {
        try database.execute(
            sql: "INSERT INTO series (run, quantity, subject, unit, better) VALUES (?, ?, ?, ?, ?)",
            arguments: [
                number.rawValue, series.quantity, series.subject, series.unit,
                series.better.rawValue,
            ])
        let id = database.lastInsertedRowID
        let statement = try database.makeStatement(
            sql: "INSERT INTO sample (series, position, value) VALUES (?, ?, ?)")
        for sample in series.samples {
            try statement.execute(
                arguments: [id, Int64(clamping: sample.position), sample.value])
        }
    }

    // MARK: Reading

    static func latest(
        _ limit: Int, kind: RunKind?, in database: Database
    ) throws -> [(number: RunNumber, facts: RunFacts)] {
        try Row.fetchAll(
            database,
            sql: "SELECT * FROM run WHERE ? IS NULL OR kind = ? ORDER BY number DESC LIMIT ?",
            arguments: [kind?.rawValue, kind?.rawValue, limit]
        ).map { (RunNumber($0["number"]), try facts(in: $0)) }
    }

    static func benchmarks(ofCommit digits: String, in database: Database) throws -> [RunNumber] {
        let escaped = digits.filter(\.isHexDigit).lowercased()
        return try Int64.fetchAll(
            database,
            sql: """
                SELECT number FROM run
                WHERE kind = 'bench' AND is_dirty = 0 AND "commit" LIKE ? ORDER BY number
                """,
            arguments: [escaped + "%"]
        ).map(RunNumber.init)
    }

    /// Nil when there is none of this number.
    static func run(_ number: RunNumber, in database: Database) throws -> RunRecord? {
        guard
            let row = try Row.fetchOne(
                database, sql: "SELECT * FROM run WHERE number = ?", arguments: [number.rawValue])
        else { return nil }
        let series = try Row.fetchAll(
            database, sql: "SELECT * FROM series WHERE run = ? ORDER BY id",
            arguments: [number.rawValue])
        let spans = try Row.fetchAll(
            database, sql: "SELECT * FROM span WHERE run = ? ORDER BY id",
            arguments: [number.rawValue])
        let totals = try Row.fetchAll(
            database, sql: "SELECT name, value FROM total WHERE run = ?",
            arguments: [number.rawValue])
        return RunRecord(
            facts: try facts(in: row), series: try series.map { try Self.series($0, in: database) },
            spans: spans.map(span),
            totals: Dictionary(uniqueKeysWithValues: totals.map { ($0["name"], $0["value"]) }))
    }

    private static func facts(in row: Row) throws -> RunFacts {
        guard let kind = RunKind(rawValue: row["kind"]),
            let verdict = RunVerdict(rawValue: row["verdict"]),
            let seed = UInt64(row["seed"] as String)
        else {
            throw DatabaseError(message: "run \(row["number"] as Int64) is none that memkv writes")
        }
        var facts = RunFacts(
            kind: kind, startedAt: row["started_at"], scenario: row["scenario"],
            scenarioHash: row["scenario_hash"], seed: seed,
            program: RunProgram(
                version: row["version"], commit: row["commit"], isDirty: row["is_dirty"],
                toolchain: row["toolchain"], buildKind: row["build_kind"]),
            machine: RunMachine(
                kernel: row["kernel"], processor: row["processor"], device: row["device"]),
            realMicroseconds: unsigned(row["real_microseconds"]), verdict: verdict)
        facts.about = row["about"]
        facts.scenarioText = row["scenario_text"]
        facts.configuration = try JSONDecoder().decode(
            [String: String].self, from: Data((row["configuration"] as String).utf8))
        facts.fingerprint = row["fingerprint"]
        facts.virtualMicroseconds = (row["virtual_microseconds"] as Int64?).map(unsigned)
        facts.firstViolation = row["first_violation"]
        facts.pairing = row["pairing"]
        return facts
    }

    private static func series(_ row: Row, in database: Database) throws -> RunSeries {
        let samples = try Row.fetchAll(
            database,
            sql: "SELECT position, value FROM sample WHERE series = ? ORDER BY position",
            arguments: [row["id"] as Int64])
        return RunSeries(
            quantity: row["quantity"], subject: row["subject"], unit: row["unit"],
            better: Direction(rawValue: row["better"]) ?? .neither,
            samples: samples.map {
                RunSeries.Sample(position: unsigned($0["position"]), value: $0["value"])
            })
    }

    private static func span(_ row: Row) -> RunSpan {
        RunSpan(
            lane: row["lane"], subject: row["subject"], label: row["label"],
            fromMicroseconds: unsigned(row["from_microseconds"]),
            toMicroseconds: (row["to_microseconds"] as Int64?).map(unsigned))
    }

    private static func unsigned(_ number: Int64) -> UInt64 { UInt64(clamping: number) }
}
