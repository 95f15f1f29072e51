// ServerReading: everything the admin endpoint answers from, copied once for each answer.
//
// Always holds: one answer comes from one reading, so that its sums are the sums of its parts. The
// gauges of a drive, and those of a shard, are of one instant each.

internal import Engine

/// A transport's figures, summed over the shards.
package struct TransportReading: Sendable {
    /// `tcp` or `rdma`, as labels say it.
    package let name: String
    package let connectRequests: UInt64
    package let sessionsActive: UInt64
    package let sessions: UInt64
    package let receivedBytes: UInt64
    package let sentBytes: UInt64
    /// Frames that are none, or say what they must not, or ask for more than any may.
    package let malformedRequests: UInt64
    /// Lookups that the engine sees as reads.
    package let lookupRequests: UInt64
    /// No key, a wrong one, or a wrong proof of it; frames whose tag is wrong.
    package let authenticationFailures: UInt64
    /// How often each limit has refused or ended a client.
    package let refusals: [(reason: String, count: UInt64)]

    package init(
        name: String, connectRequests: UInt64, sessionsActive: UInt64, sessions: UInt64,
        receivedBytes: UInt64, sentBytes: UInt64, malformedRequests: UInt64,
        lookupRequests: UInt64 = 0, authenticationFailures: UInt64,
        refusals: [(reason: String, count: UInt64)]
    ) {
        self.name = name
        self.connectRequests = connectRequests
        self.sessionsActive = sessionsActive
        self.sessions = sessions
        self.receivedBytes = receivedBytes
        self.sentBytes = sentBytes
        self.malformedRequests = malformedRequests
        self.lookupRequests = lookupRequests
        self.authenticationFailures = authenticationFailures
        self.refusals = refusals
    }
}

/// How RDMA is, where the configuration asks for it.
package struct RDMAReading: Sendable {
    /// Clients can come by it.
    package let isActive: Bool
    /// What keeps it from being whole, a sentence each; empty when nothing does.
    package let problems: [String]
    /// Leases of server memory that clients have.
    package let activeLeases: UInt64

    package init(isActive: Bool, problems: [String], activeLeases: UInt64 = 0) {
        precondition(isActive || !problems.isEmpty, "RDMA that is off for no reason")
        self.isActive = isActive
        self.problems = problems
        self.activeLeases = activeLeases
    }
}

/// What the system says of the server's process.
package struct ProcessReading: Sendable {
    package var processorSeconds: Double
    package var residentBytes: UInt64
    package var virtualBytes: UInt64
    package var openDescriptors: UInt64
    package var descriptorLimit: UInt64
    package var threads: UInt64
    /// Seconds since 1970 began.
    package var startSeconds: Double

    package init(
        processorSeconds: Double = 0, residentBytes: UInt64 = 0, virtualBytes: UInt64 = 0,
        openDescriptors: UInt64 = 0, descriptorLimit: UInt64 = 0, threads: UInt64 = 0,
        startSeconds: Double = 0
    ) {
        self.processorSeconds = processorSeconds
        self.residentBytes = residentBytes
        self.virtualBytes = virtualBytes
        self.openDescriptors = openDescriptors
        self.descriptorLimit = descriptorLimit
        self.threads = threads
        self.startSeconds = startSeconds
    }
}

/// The slab pool at one moment.
struct SlabReading: Sendable {
    let total: UInt64
    let allocated: UInt64
    let slabBytes: UInt64
    let casRetries: UInt64
    let doubleFrees: UInt64

    init(_ slabs: SlabPool) {
        total = UInt64(slabs.slabCount)
        allocated = total - UInt64(min(max(0, slabs.freeSlabs), Int(total)))
        slabBytes = slabs.slabBytes.rawValue
        casRetries = slabs.casRetries
        doubleFrees = slabs.doubleFreeCount
    }

    var usedBytes: UInt64 { allocated * slabBytes }
    var totalBytes: UInt64 { total * slabBytes }
}

/// One drive.
struct DriveEntry: Sendable {
    let path: String
    let cells: DriveReading
    var condition: DriveCondition { cells.condition }
}

/// The server at one moment.
struct ServerReading: Sendable {
    let shards: [ShardReading]
    /// In the order of the configuration: a drive's place is its device id.
    let drives: [DriveEntry]
    let slabs: SlabReading
    let transports: [TransportReading]
    /// Nil where no RDMA is configured.
    let rdma: RDMAReading?
    let process: ProcessReading
    let requests: [(path: AdminPath, count: UInt64)]
    let blockSizeBytes: UInt32
    let uptimeSeconds: UInt64
    let version: String

    func sum(_ counter: ShardCounter) -> UInt64 { shards.reduce(0) { $0 + $1.value(counter) } }
    func sum(_ gauge: ShardGauge) -> UInt64 { shards.reduce(0) { $0 + $1.value(gauge) } }
    func sum(_ gauge: DriveGauge) -> UInt64 { drives.reduce(0) { $0 + $1.cells.value(gauge) } }
    func histogram(_ timing: ShardTiming) -> HistogramSnapshot {
        shards.reduce(.empty) { $0 + $1.histogram(timing) }
    }

    var health: ServerHealth {
        ServerHealth(
            drives: drives.map(\.condition), isRDMAImpaired: !(rdma?.problems ?? []).isEmpty)
    }
    var isRDMAActive: Bool { rdma?.isActive ?? false }

    /// Why requests aren't served; nil when they are.
    var unreadiness: String? {
        shards.lazy.compactMap { Self.reason(Self.phase(of: $0)) }.first
    }

    private static func phase(of shard: ShardReading) -> EnginePhase {
        let value = UInt8(truncatingIfNeeded: shard.value(ShardGauge.phase))
        guard let phase = EnginePhase(rawValue: value) else {
            preconditionFailure("a shard in no known phase")
        }
        return phase
    }

    private static func reason(_ phase: EnginePhase) -> String? {
        switch phase {
        case .serving: nil
        case .recovering: "recovering: reading the drives' journals"
        case .draining: "draining: finishing what is in flight"
        case .stopped: "stopped"
        case .refused: "refused: a drive can't be served; the log names it"
        }
    }
}
