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
        func refusal(_ key: String, _ problem: String) -> ConfigurationError {
            ConfigurationError(origin: .standard, key: key, problem: problem)
        }
        let restart = "can't be changed while memkvd runs; change it back, or restart memkvd"
        if fresh.listen != settings.listen { throw refusal("network.address", restart) }
        if fresh.authentication.tagsPayloads != settings.authentication.tagsPayloads {
            throw refusal("network.payload_mac", restart)
        }
        // A file that somebody is just writing may look like one without keys.
        if fresh.authentication.keys.isEmpty, !keys.current.isEmpty {
            throw refusal(
                "network.auth_keys",
                "the last key can't be taken away while memkvd runs; restart it")
        }
    }

    /// The identifiers of keys, for the log.
    static func list(_ keys: [ScopedKey]) -> String {
        keys.isEmpty ? "none" : keys.map { "\($0.key.identifier)" }.joined(separator: ",")
    }
}

#endif
