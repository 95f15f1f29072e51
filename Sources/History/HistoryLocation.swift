// HistoryLocation: where runs are recorded when nobody names a file: in the user's state directory,
// as the XDG Base Directory Specification (0.8) has it.

import Foundation

package enum HistoryLocation {
    /// `$XDG_STATE_HOME/memkv/history.sqlite`, or below `~/.local/state`; nil without a home.
    /// A relative path in the variable counts for nothing, as the specification demands.
    package static func standard(environment: [String: String]) -> String? {
        if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") {
            return state + "/memkv/history.sqlite"
        }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + "/.local/state/memkv/history.sqlite"
    }

    /// Makes the folder of the standard file, for its user alone.
    package static func makeFolder(of path: String) throws(HistoryError) {
        do {
            try FileManager.default.createDirectory(
                at: URL(fileURLWithPath: path).deletingLastPathComponent(),
                withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw .failed(path: path, reason: error.localizedDescription)
        }
    }
}
