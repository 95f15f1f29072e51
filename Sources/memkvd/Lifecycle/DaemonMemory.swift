// DaemonMemory: the one arena of the daemon, divided among slabs, engines and transports at start.
//
// Always holds: the parts don't overlap, and nothing is given back before the process ends.

#if IOUring

internal import Engine
internal import IOUring
internal import Ring
internal import Settings

/// The arena and its parts.
struct DaemonMemory: Sendable {
    let slabs: SlabPool
    /// One for each shard.
    let engines: [EngineMemory]
    /// One for each shard.
    let transports: [ArenaRange]
    /// One for each shard, empty without RDMA.
    let remotes: [ArenaRange]
    let formatRange: ArenaRange
    /// One sentence: how much, on which pages.
    let description: String

    private static let pageBytes = ByteCount(UInt64(4096))

    /// Maps memory for as many shards as there are counts of drives.
    init(
        settings: ServerSettings, transport: TransportConfiguration, driveCounts: [Int]
    ) throws(StartFailure) {
        let transportBytes = transport.memoryBytes.roundedUp(to: Self.pageBytes)
        let remoteBytes = DaemonRemote.memoryBytes(settings).roundedUp(to: Self.pageBytes)
        let formatBytes = DriveFormatter.memoryBytes.roundedUp(to: Self.pageBytes)
        let engineBytes = driveCounts.map {
            Engine<IOUringDevice, ShardTransport>.privateMemory(
                for: settings.engine, driveCount: $0
            ).roundedUp(to: Self.pageBytes)
        }
        let slabBytes = ByteCount(
            settings.poolBytes.rawValue / settings.slabBytes.rawValue
                * settings.slabBytes.rawValue)
        let total =
            slabBytes.rawValue + formatBytes.rawValue
            + engineBytes.reduce(0) {
                $0 + $1.rawValue + transportBytes.rawValue + remoteBytes.rawValue
            }
        let mapping: ArenaMapping
        do throws(SystemError) {
            mapping = try mapArena(bytes: ByteCount(total))
        } catch {
            throw StartFailure(
                code: .failed,
                message: "no \(total >> 20) MiB of memory: \(error). Lower memory.max_size")
        }
        var planner = ArenaPlanner(length: mapping.arena.length)
        slabs = SlabPool(
            arena: mapping.arena, region: Self.take(slabBytes, &planner),
            slabBytes: settings.slabBytes)
        var engines: [EngineMemory] = []
        var transports: [ArenaRange] = []
        var remotes: [ArenaRange] = []
        for bytes in engineBytes {
            engines.append(
                EngineMemory(
                    arena: mapping.arena, privateRange: Self.take(bytes, &planner), slabs: slabs))
            transports.append(Self.take(transportBytes, &planner))
            remotes.append(Self.take(remoteBytes, &planner))
        }
        self.engines = engines
        self.transports = transports
        self.remotes = remotes
        formatRange = Self.take(formatBytes, &planner)
        description = mapping.description
        if let problem = transport.impossibility(with: slabs) {
            throw StartFailure(code: .usage, message: problem)
        }
    }

    private static func take(_ bytes: ByteCount, _ planner: inout ArenaPlanner) -> ArenaRange {
        guard let range = planner.take(bytes) else {
            preconditionFailure("an arena smaller than the sum of its parts")
        }
        return range
    }
}

#endif
