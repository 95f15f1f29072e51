// HistoryError: why runs can't be recorded or read, with what to do about it.

/// A refusal of the run database.
package enum HistoryError: Error, Hashable, CustomStringConvertible {
    /// There is none: nothing has been recorded.
    case absent(path: String)
    /// A newer memkv has written it.
    case newer(path: String)
    /// A database, but another program's.
    case foreign(path: String)
    /// It can't be opened, read or written: SQLite's words.
    case failed(path: String, reason: String)
    case noSuchRun(RunNumber, path: String)

    package var description: String {
        switch self {
        case .absent(let path):
            "no runs are recorded in \(path): there is no such file; `memkv bench run` and "
                + "`memkv sim run` make it"
        case .newer(let path):
            "\(path) was written by a newer memkv; use that one, or name another file with --db"
        case .foreign(let path):
            "\(path) is a database of another program; name another file with --db"
        case .failed(let path, let reason):
            "\(path): \(reason); name another file with --db"
        case .noSuchRun(let number, let path):
            "there is no run \(number) in \(path); `memkv history list` shows those there are"
        }
    }
}
