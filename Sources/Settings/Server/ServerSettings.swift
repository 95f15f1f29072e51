// ServerSettings: everything memkvd is told at start, checked, with the defaults filled in.
//
// Always holds: what is here can be run; a combination that can't was refused before.

package import Engine
package import Schema

/// Where the store is.
package enum StorePlan: Hashable, Sendable {
    /// One file drive in a directory, made when it isn't there; `driveBytes` nil for a size that
    /// suits the file system.
    case directory(String, driveBytes: ByteCount?)
    /// Drives that exist already, of one mode: `file` or `direct`.
    case drives([DrivePlace], mode: DriveMode)
    /// One drive without media, empty at every start.
    case memory(driveBytes: ByteCount)

    /// Drives of the store, those that aren't there included.
    package var driveCount: Int {
        switch self {
        case .directory, .memory: 1
        case .drives(let places, _): places.count
        }
    }
}

/// One drive of a configuration.
package struct DrivePlace: Hashable, Sendable {
    package let path: String
    /// What the configuration says the drive's size is; nil when it leaves that to the drive.
    package let maximumBytes: ByteCount?
}

/// A checked configuration.
package struct ServerSettings: Sendable {
    package let listen: ListenAddress
    package let limits: SessionLimits
    package let authentication: AuthenticationSettings
    package let admin: AdminSettings
    /// Bytes of one slab of the pool that payloads pass through.
    package let slabBytes: ByteCount
    /// Bytes of the whole pool.
    package let poolBytes: ByteCount
    package let store: StorePlan
    package let engine: EngineConfiguration
    /// What the file says of `storage.shards`; nil where it is silent.
    package let configuredShards: Int?
    /// Nil for a server without RDMA.
    package let rdma: RDMASettings?

    /// Shards to run on a machine that lets this process use `processors`: as configured, or one
    /// for each processor as far as there are drives for them and slabs for their clients.
    package func shardCount(processors: Int) -> Int {
        let most = min(processors, store.driveCount, ShardPost.shardLimit)
        let fitting = Int(poolBytes.rawValue / Self.poolBytesPerShard(slabBytes).rawValue)
        return configuredShards ?? max(1, min(most, fitting))
    }

    /// Bytes of pool that each shard needs: one of the largest payloads on its way in and one on
    /// its way out.
    static func poolBytesPerShard(_ slabBytes: ByteCount) -> ByteCount {
        ByteCount(2 * ByteCount(largestValueBytes).roundedUp(to: slabBytes).rawValue)
    }

    /// Slab size without `memory.block_size`.
    package static let standardSlabBytes = ByteCount(UInt64(2 << 20))
    /// Bytes a second that each drive's scrub reads without `storage.scrub.rate`.
    package static let standardScrubBytesPerSecond: UInt64 = 16 << 20
    /// Pool size without `memory.max_size`.
    package static let standardPoolBytes = ByteCount(UInt64(256 << 20))
}

/// What the flags and the environment say; nil where they say nothing.
package struct ServerInvocation: Sendable {
    /// `--listen`, or `MEMKVD_LISTEN`.
    package var listen: Setting<String>?
    /// `--data`, or `MEMKVD_DATA`.
    package var data: Setting<String>?
    /// `--config`, or `MEMKVD_CONFIG`.
    package var config: Setting<String>?
    /// `MEMKV_AUTH_KEY`, the variable that clients have their key from. There is no flag for a key:
    /// every user of the machine could read it.
    package var authenticationKey: Setting<String>?

    /// The environment's variables that count.
    package static let variableNames = [
        "MEMKVD_LISTEN", "MEMKVD_DATA", "MEMKVD_CONFIG", "MEMKV_AUTH_KEY",
    ]

    /// A flag beats the variable of the same meaning.
    package init(
        listenFlag: String?, dataFlag: String?, configFlag: String?,
        environment: [String: String]
    ) throws(ConfigurationError) {
        listen = try Self.pick(listenFlag, "--listen", environment, "MEMKVD_LISTEN")
        data = try Self.pick(dataFlag, "--data", environment, "MEMKVD_DATA")
        config = try Self.pick(configFlag, "--config", environment, "MEMKVD_CONFIG")
        authenticationKey = try Self.pick(nil, "", environment, "MEMKV_AUTH_KEY")
    }

    private static func pick(
        _ flag: String?, _ flagName: String, _ environment: [String: String], _ variable: String
    ) throws(ConfigurationError) -> Setting<String>? {
        let setting =
            if let flag {
                Setting(flag, key: flagName, origin: .flag(flagName))
            } else if let value = environment[variable] {
                Setting(value, key: variable, origin: .variable(variable))
            } else {
                Setting<String>?.none
            }
        if let setting, setting.value.isEmpty { throw setting.refused("is empty") }
        return setting
    }
}
