// ServerKeys: the keys that a daemon accepts, shared by its shards, replaced while they serve.
//
// Always holds: a shard sees either all of the old keys or all of the new ones; asking whether they
// have changed costs a load. Without any key, sessions aren't authenticated.

#if IOUring

package import Wire
private import Synchronization

/// The keys of a daemon.
package final class ServerKeys: Sendable {
    private let keys: Mutex<[ScopedKey]>
    private let replacements = Atomic<UInt64>(0)
    /// Whether every payload of a session with a key has a tag of its own.
    package let tagsPayloads: Bool

    package init(_ keys: [ScopedKey] = [], tagsPayloads: Bool = false) {
        self.keys = Mutex(keys)
        self.tagsPayloads = tagsPayloads
    }

    /// From now on these are the keys; each shard follows at its next step.
    package func replace(with keys: [ScopedKey]) {
        self.keys.withLock { $0 = keys }
        replacements.add(1, ordering: .releasing)
    }

    /// How often they were replaced.
    var generation: UInt64 { replacements.load(ordering: .acquiring) }

    /// The keys as they are now.
    package var current: [ScopedKey] { keys.withLock { $0 } }
}

#endif
