// KeyReload: the keys of the data port, read anew while the daemon runs.
//
// Always holds: either all of the new keys are taken or the old ones stay; a refusal is a line in
// the log that names the place. Refuses, beside what the start refuses: a change of what needs a
// restart and decides who is let in.

#if IOUring

internal import IOUring
internal import Logging
internal import Schema
internal import Settings
internal import Wire

extension Daemon {
    /// Reads the keys each time somebody asks for it, until the task is cancelled.
    func reloadKeys(whenAsked control: DaemonControl) async {
        for await _ in control.reloads {
            do throws(ConfigurationError) {
                let fresh = try settingsOfNow()
                try checkUnchanged(fresh)
                keys.replace(with: fresh.authentication.keys)
                control.wakeShards()
                logger.info(
                    "keys reloaded", metadata: ["keys": "\(Self.list(fresh.authentication.keys))"])
            } catch {
                logger.error(
                    "reload refused, the old keys stay", metadata: ["reason": "\(error)"])
            }
        }
    }

    private func checkUnchanged(_ fresh: ServerSettings) throws(ConfigurationError) {
        let former = settings.authentication
        let changed: String? =
            if fresh.listen != settings.listen {
                "network.address"
            } else if fresh.authentication.tagsPayloads != former.tagsPayloads {
                "network.payload_mac"
            } else {
                nil
            }
        if let changed {
            throw ConfigurationError(
                origin: .standard, key: changed,
                problem: "can't be changed while memkvd runs; change it back, or restart memkvd")
        }
    }

    /// The identifiers of keys, for the log.
    static func list(_ keys: [ScopedKey]) -> String {
        keys.isEmpty ? "none" : keys.map { "\($0.key.identifier)" }.joined(separator: ",")
    }
}

#endif
