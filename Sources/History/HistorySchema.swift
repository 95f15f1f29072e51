// HistorySchema: the tables, as a list of named migrations.
//
// Always holds: the list only grows; a migration that was released is never changed, because
// databases have had it. A database with a migration that isn't listed is a newer memkv's.

import GRDB

enum HistorySchema {
    /// "MKVH": what tells the file from other programs' databases.
    static let applicationID: Int32 = 0x4D4B_5648

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("runs") { database in
            try database.execute(sql: "PRAGMA application_id = \(applicationID)")
            try database.execute(sql: runs)
        }
        return migrator
    }

    /// Seeds have 64 bits without a sign, which SQLite's integers have not: they are texts.
    private static let runs = """
        CREATE TABLE run (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL CHECK (kind IN ('sim', 'bench')),
            started_at TEXT NOT NULL,
            scenario TEXT NOT NULL,
            about TEXT,
            scenario_hash TEXT NOT NULL,
            scenario_text TEXT,
            seed TEXT NOT NULL,
            version TEXT NOT NULL,
            "commit" TEXT,
            is_dirty INTEGER,
            toolchain TEXT,
            build_kind TEXT,
            kernel TEXT,
            processor TEXT,
            device TEXT,
            configuration TEXT NOT NULL,
            fingerprint TEXT,
            virtual_microseconds INTEGER,
            real_microseconds INTEGER NOT NULL,
            verdict TEXT NOT NULL
                CHECK (verdict IN ('passed', 'violated', 'below-minimum', 'measured')),
            first_violation TEXT,
            pairing TEXT
        );
        CREATE INDEX run_by_commit ON run ("commit");
        CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
            quantity TEXT NOT NULL,
            subject TEXT NOT NULL,
            unit TEXT NOT NULL,
            better TEXT NOT NULL CHECK (better IN ('higher', 'lower', 'neither')),
            UNIQUE (run, quantity, subject)
        );
        CREATE TABLE sample (
            series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            value REAL NOT NULL,
            PRIMARY KEY (series, position)
        ) WITHOUT ROWID;
        CREATE TABLE span (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
            lane TEXT NOT NULL,
            subject TEXT NOT NULL,
            label TEXT NOT NULL,
            from_microseconds INTEGER NOT NULL,
            to_microseconds INTEGER
        );
        CREATE INDEX span_by_run ON span (run);
        CREATE TABLE total (
            run INTEGER NOT NULL REFERENCES run (number) ON DELETE CASCADE,
            name TEXT NOT NULL,
            value REAL NOT NULL,
            PRIMARY KEY (run, name)
        ) WITHOUT ROWID;
        """
}
