// Scenario: what a simulated run is made of: a server and its drives, a network, clients with their
// work, faults, and what must come of it. Fixed values and ranges; the seed picks inside.
//
// Always holds: a run is a function of the scenario and the seed.

/// A scenario, whole.
package struct Scenario: Sendable {
    /// The file's name without its ending.
    package var name: String
    /// One sentence: what happens and what must hold.
    package var about: String
    /// A hash of the text it was read from.
    package var contentHash: UInt64 = 0
    package var store = StoreShape()
    package var drive = DriveModel()
    package var network = NetworkShape()
    package var remote = RemoteShape()
    package var clients: [ClientGroup] = []
    /// How long clients work and faults strike; then the faults stop and everything must converge.
    package var durationMicroseconds = Drawn(2_000_000)
    package var faults: [FaultPlan] = []
    package var minimum = Minimum()
    package var bounds = Bounds()
    package var expectations: [Expectation] = []
    /// Name of the assertion that must fail: a negative scenario.
    package var mustViolate: String?

    package init(name: String, about: String) {
        self.name = name
        self.about = about
    }
}

/// The server and its drives.
package struct StoreShape: Sendable {
    package var shards = Drawn(1)
    package var drives = Drawn(1)
    package var driveBytes = Drawn(16 << 20)
    /// 512 or 4096, as the drives' logical block.
    package var sectorBytes: UInt64 = 4096
    package var blockSizeBytes: UInt64 = 64 << 10
    package var minimumSlotBytes: UInt64 = 4 << 10
    package var journalBlocks = Drawn(from: 32, to: 128)
    package var slabs = Drawn(from: 64, to: 128)
    package var dirtyEntries = Drawn(from: 64, to: 512)
    /// Most keys of a drive's change list; nil for as many as the drive has room for.
    package var changeLimit: Drawn?
    /// Bytes a second that the scrub of a drive reads; 0 for none.
    package var scrubBytesPerSecond = Drawn(from: 0, to: 2 << 20)
    package var isEvictionOn = true
    /// File drives rather than raw devices: only these can have no space.
    package var areDrivesFiles = false
    package var requestsPerSession = Drawn(64)
    package var sessions: UInt64 = 256
    /// A planted mistake, by its name; test builds only.
    package var plantedBug: String?

    package init() {}
}

/// How fast a drive is: an NVMe drive by default.
package struct DriveModel: Sendable {
    package var channels = Drawn(from: 4, to: 16)
    package var readMicroseconds = Drawn(from: 60, to: 110)
    package var writeMicroseconds = Drawn(from: 15, to: 40)
    package var flushMicroseconds = Drawn(from: 100, to: 600)
    package var bytesPerMicrosecond: UInt64 = 1500

    package init() {}
}

/// What lies between clients and server.
package struct NetworkShape: Sendable {
    package var latencyMicroseconds = Drawn(from: 10, to: 60)
    package var bytesPerMicrosecond: UInt64 = 3000
    /// Sends of a hundred that arrive in two pieces.
    package var piecesPercent = Drawn(from: 0, to: 20)
    /// Runs of a hundred with keys.
    package var authenticatedPercent: UInt64 = 25

    package init() {}
}

/// The server's RDMA, where clients ask for it.
package struct RemoteShape: Sendable {
    package var queuePairs = Drawn(16)
    /// Requests that may be unanswered on a queue pair.
    package var credits = Drawn(from: 4, to: 16)
    package var leasesPerSession = Drawn(from: 4, to: 16)
    package var leaseMicroseconds = Drawn(30_000_000)
    /// What the control thread takes for an exposure, a revocation or a queue pair's end.
    package var controlMicroseconds = Drawn(from: 5, to: 200)

    package init() {}
}

/// Clients that do the same kind of work.
package struct ClientGroup: Sendable {
    package enum Skew: String, CaseIterable, Sendable { case uniform, zipf }

    /// What requests travel by.
    package enum Transport: String, CaseIterable, Sendable {
        case tcp
        /// By queue pairs where there are any, by TCP meanwhile.
        case auto
        /// By queue pairs alone.
        case rdma
        /// By queue pairs alone, and values by the client's own doing, through leases.
        case leases
    }

    package var count = Drawn(1)
    /// Requests that each keeps under way.
    package var inFlight = Drawn(from: 2, to: 16)
    package var connections = Drawn(from: 1, to: 2)
    package var namespaces = Drawn(1)
    /// Keys in each namespace, shared by all clients of the run.
    package var keys = Drawn(200)
    package var skew = Skew.zipf
    package var valueBytes = Drawn(from: 1, to: 16 << 10)
    package var batchItems = Drawn(from: 2, to: 6)
    package var mix = OperationMix()
    package var deadlineMicroseconds = Drawn(2_000_000)
    /// Requests that come in a second, whether those before them have ended or not; 0 for a client
    /// that begins the next one when one has ended.
    package var arrivalsPerSecond = Drawn(0)
    /// Pause between an answer and the next request.
    package var thinkMicroseconds = Drawn(0)
    package var transport = Transport.tcp

    package init() {}
}

/// Shares of operations, in any unit.
package struct OperationMix: Hashable, Sendable {
    package var put: UInt64 = 30
    package var get: UInt64 = 50
    package var delete: UInt64 = 5
    package var exists: UInt64 = 5
    package var stat: UInt64 = 2
    package var putBatch: UInt64 = 3
    package var getBatch: UInt64 = 4
    package var deleteBatch: UInt64 = 1
    /// What an inference engine does with a prompt: asks which of a chain's blocks are there, gets
    /// those before the first hole, puts the others.
    package var prefix: UInt64 = 0

    package init() {}

    package init(none: Void) {
        (put, get, delete, exists, stat) = (0, 0, 0, 0, 0)
        (putBatch, getBatch, deleteBatch, prefix) = (0, 0, 0, 0)
    }

    var total: UInt64 {
        put + get + delete + exists + stat + putBatch + getBatch + deleteBatch + prefix
    }
}

/// What a run must have come to, or it proves nothing.
package struct Minimum: Sendable {
    package var requests: UInt64 = 100
    package var faults: UInt64 = 0
    /// What the faults must have made felt, by name, and how often.
    package var felt: [(Felt, UInt64)] = []

    package init() {}
}

/// What a run may come to at most.
package struct Bounds: Sendable {
    /// Misses of blocks that should have been there, of a thousand reads of such.
    package var missesPerMille: UInt64 = 0
    /// Answers that are neither a result nor a miss, of a thousand.
    package var refusalsPerMille: UInt64 = 1000
    /// Drives that come back empty; nil for any number.
    package var emptiedDrives: UInt64?

    package init() {}
}

/// Something that must be seen.
package enum Expectation: Sendable {
    /// The store says `health` within a time of the first fault's beginning.
    case health(ReportedHealthName, withinMicroseconds: UInt64)
    /// It says that it is healthy within a time of the last fault's end.
    case recovery(withinMicroseconds: UInt64)
    /// Requests served in a second during the first fault, in percent of before it. A miss isn't
    /// served.
    case throughput(atLeastPercent: UInt64)
    /// The 99th percentile of latencies during the first fault, in percent of before.
    case latency(atMostPercent: UInt64)
    /// The same two of the requests for keys that live on other drives than the one that the first
    /// fault strikes.
    case othersThroughput(atLeastPercent: UInt64)
    case othersLatency(atMostPercent: UInt64)
    /// What half of the requests, and 99 of 100, take at most, on the mean of the samples.
    case median(withinMicroseconds: UInt64)
    case tail(withinMicroseconds: UInt64)
    /// The store says that it found damage within a time of the first fault's beginning.
    case damageFound(withinMicroseconds: UInt64)
    /// Requests travel by queue pair within a time of the last fault's end.
    case remoteAgain(withinMicroseconds: UInt64)
}

extension Expectation {
    /// It takes a key's drive to tell.
    var isAboutOthers: Bool {
        switch self {
        case .othersThroughput, .othersLatency: true
        default: false
        }
    }
}

/// Health, as scenarios name it.
package enum ReportedHealthName: String, CaseIterable, Sendable {
    case healthy, degraded, unhealthy
}
