// ServerPlan: what the seed picks for a server: its shape, drawn once a run.

internal import Client
internal import Engine
internal import QueuePairs
internal import Sim
internal import Wire

/// The RDMA of one run's server.
struct RemotePlan {
    let configuration: RDMAConfiguration
    let controlMicroseconds: Drawn

    /// Nil where no client asks for it.
    init?(_ scenario: Scenario, limits: SessionLimits, seed: UInt64) {
        guard scenario.clients.contains(where: { $0.transport != .tcp }) else { return nil }
        var random = RandomStream(seed: seed, name: "rdma plan")
        let shape = scenario.remote
        var configuration = RDMAConfiguration(limits: limits)
        configuration.queuePairs = Int(shape.queuePairs.draw(from: &random))
        configuration.credits = Int(shape.credits.draw(from: &random))
        configuration.leasesPerSession = Int(shape.leasesPerSession.draw(from: &random))
        configuration.leaseMicroseconds = shape.leaseMicroseconds.draw(from: &random)
        #if PLANTED_BUGS
        configuration.plantedBug = scenario.store.plantedBug.flatMap {
            PlantedQueuePairBug(rawValue: $0)
        }
        #endif
        self.configuration = configuration
        controlMicroseconds = shape.controlMicroseconds
    }
}

/// The server of one run.
struct ServerPlan {
    let shards: Drawn
    let driveCount: Int
    let driveBytes: UInt64
    let sectorBytes: Int
    let mode: DriveMode
    let journalBlocks: UInt32
    let slabCount: UInt64
    let valueLimitBytes: UInt64
    let latency: DriveLatency
    let service: DriveService
    let engine: EngineConfiguration
    let limits: SessionLimits
    let keys: [ScopedKey]
    let tagsPayloads: Bool
    /// Nil for a server without RDMA.
    let remote: RemotePlan?

    init(_ scenario: Scenario, seed: UInt64, valueLimitBytes: UInt64) {
        var random = RandomStream(seed: seed, name: "server plan")
        let store = scenario.store
        shards = store.shards
        driveCount = Int(store.drives.draw(from: &random))
        sectorBytes = Int(store.sectorBytes)
        driveBytes = store.driveBytes.draw(from: &random) / (1 << 20) * (1 << 20)
        mode = store.areDrivesFiles ? .file : .direct
        journalBlocks = UInt32(store.journalBlocks.draw(from: &random))
        slabCount = store.slabs.draw(from: &random)
        self.valueLimitBytes = valueLimitBytes
        let model = scenario.drive
        service = DriveService(
            channels: Int(model.channels.draw(from: &random)),
            bytesPerMicrosecond: model.bytesPerMicrosecond)
        var latency = DriveLatency()
        func set(_ action: DeviceAction, _ drawn: Drawn) {
            latency.set(
                action, fixedMicroseconds: drawn.from, randomMicroseconds: drawn.to - drawn.from)
        }
        set(.read, model.readMicroseconds)
        set(.write, model.writeMicroseconds)
        set(.flush, model.flushMicroseconds)
        set(.discard, model.writeMicroseconds)
        self.latency = latency
        engine = Self.engine(store, valueLimitBytes: valueLimitBytes, seed: seed, &random)
        limits = Self.limits(store, valueLimitBytes: valueLimitBytes, &random)
        let isAuthenticated = random.chance(percent: scenario.network.authenticatedPercent)
        remote = RemotePlan(scenario, limits: limits, seed: seed)
        // What has tags travels by TCP alone.
        tagsPayloads = isAuthenticated && random.chance(percent: 50) && remote == nil
        let secret = Secret(
            words: [random.next(), random.next(), random.next(), random.next()])
        keys =
            isAuthenticated ? [ScopedKey(key: AuthenticationKey(secret), namespaces: nil)] : []
    }

    private static func engine(
        _ store: StoreShape, valueLimitBytes: UInt64, seed: UInt64, _ random: inout RandomStream
    ) -> EngineConfiguration {
        var engine = EngineConfiguration()
        engine.operationLimit = 128
        engine.valueLimitBytes = UInt32(valueLimitBytes)
        engine.blockSizeBytes = UInt32(store.blockSizeBytes)
        engine.minimumSlotBytes = UInt32(store.minimumSlotBytes)
        engine.evictionEnabled = store.isEvictionOn
        engine.leafCacheBytes = 512 << 10
        engine.dirtyEntryLimit = Int(store.dirtyEntries.draw(from: &random))
        engine.unsettledPayloadLimitBytes = 1 << (18 + random.below(5))
        engine.hashSeed = seed
        if let limit = store.changeLimit { engine.changeLimit = Int(limit.draw(from: &random)) }
        var scrub = RandomStream(seed: seed, name: "scrub")
        engine.scrubBytesPerSecond = store.scrubBytesPerSecond.draw(from: &scrub)
        engine.scrubPauseMicroseconds = 20_000 + scrub.below(200_000)
        #if PLANTED_BUGS
        engine.plantedBug = store.plantedBug.flatMap { PlantedBug(rawValue: $0) }
        #endif
        return engine
    }

    private static func limits(
        _ store: StoreShape, valueLimitBytes: UInt64, _ random: inout RandomStream
    ) -> SessionLimits {
        var limits = SessionLimits()
        limits.sessions = Int(store.sessions)
        limits.sessionsPerAddress = Int(store.sessions)
        limits.requests = 128
        limits.requestsPerSession = Int(store.requestsPerSession.draw(from: &random))
        limits.payloadLimitBytes = UInt32(
            max(SessionLimits.smallestPayloadBytes, valueLimitBytes * 4))
        limits.bytesPerSession = UInt64(limits.payloadLimitBytes) * 2
        limits.halfOpenMicroseconds = 500_000
        limits.headerMicroseconds = 500_000
        limits.frameMicroseconds = 2_000_000
        limits.responseMicroseconds = 4_000_000
        return limits
    }

    /// What clients are told when they connect.
    func greeting(storeID: StoreIdentity) -> ConnectResponse {
        ConnectResponse(
            version: FrameHeader.version, batchLimit: engine.batchLimit,
            bodyLimitBytes: BodyLayout.bodyLimitBytes,
            payloadLimitBytes: limits.payloadLimitBytes, valueLimitBytes: engine.valueLimitBytes,
            requestsInFlight: UInt32(limits.requestsPerSession),
            storeID: [storeID.high, storeID.low])
    }
}
