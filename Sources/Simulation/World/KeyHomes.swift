// KeyHomes: on which drive a key lives, by the rule that the store documents: rendezvous hashing
// over the drives' identities (Docs/on-drive-format.md).
//
// Always holds: it is worked out from the identities that the world itself gave to the drives.
// Nobody asks the store; no verdict on a single key depends on it.

internal import Engine
internal import Wire

struct KeyHomes {
    private let members: [StoreIdentity]

    init(seed: UInt64, driveCount: Int) {
        members = Self.members(seed: seed, driveCount: driveCount)
    }

    /// The identities of a run's drives.
    static func members(seed: UInt64, driveCount: Int) -> [StoreIdentity] {
        (0..<driveCount).map { StoreIdentity(high: seed, low: UInt64($0) + 1) }
    }

    /// The number of the drive that `key` lives on.
    func drive(of key: BlockKey) -> Int {
        let weights = members.map { key.mixed(seed: $0.high ^ $0.low) }
        return weights.indices.max { weights[$0] < weights[$1] } ?? 0
    }
}
