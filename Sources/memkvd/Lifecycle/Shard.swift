// Shard: one thread, one ring, one engine, from the opening of its drives to its last checkpoint.
//
// Always holds: everything here runs on the thread that called `run`; it blocks only in its ring,
// when the engine has nothing to do; it reports changes and never logs.

#if IOUring

internal import Engine
internal import IOUring
internal import Ring
internal import Wire

/// What one shard is told at start.
struct ShardPlan: Sendable {
    let index: Int
    let drives: [DriveDescription]
    /// What the operator calls each drive.
    let driveNames: [String]
    /// True for drives that must be formatted at every start: those in memory.
    let formatsDrives: Bool
    let engine: EngineConfiguration
    let transport: TransportConfiguration
    /// The same for every shard.
    let budget: TransportBudget
    let memory: EngineMemory
    /// The transport's part of the arena: `TransportConfiguration.memoryBytes`.
    let transportRange: ArenaRange
    /// For making drives: `DriveFormatter.memoryBytes`.
    let formatRange: ArenaRange
    let listener: TCPListener
    let keys: ServerKeys
    let cells: ShardCells
    let counters: TransportCounters
    /// Where this shard stands among the daemon's, and which of its drives it has.
    let place: ShardPlace
}

/// A shard at work. Confined to its thread.
struct Shard: ~Copyable {
    private let plan: ShardPlan
    private let control: DaemonControl
    private let report: (ShardEvent) -> Void
    private let ring: ShardRing
    private let tcp: TCPTransport
    /// Keeps the shard's queue pairs served, if it has any.
    private let watch: DescriptorWatch?
    private var engine: Engine<IOUringDevice, ShardTransport>
    private var phase = EnginePhase.recovering
    private var limitReport: LimitReport
    private var refusals = RefusalReports()

    /// Steps between two looks at who was refused while the shard is never idle.
    private static let stepsBetweenLooks = 1024

    /// Runs the shard of `plan` on the calling thread until it has drained or failed; the last
    /// report says which.
    static func run(
        _ plan: ShardPlan, control: DaemonControl, remote: DaemonRemote,
        report: @escaping (ShardEvent) -> Void
    ) {
        do throws(StartFailure) {
            try open(plan, control, remote, report)
            report(.stopped)
        } catch {
            report(.failed(error))
        }
    }

    /// Works, and closes everything before it returns.
    private static func open(
        _ plan: ShardPlan, _ control: DaemonControl, _ remote: DaemonRemote,
        _ report: @escaping (ShardEvent) -> Void
    ) throws(StartFailure) {
        var shard = try Shard(plan, control: control, remote: remote, report: report)
        try shard.work()
    }

    private init(
        _ plan: ShardPlan, control: DaemonControl, remote: DaemonRemote,
        report: @escaping (ShardEvent) -> Void
    ) throws(StartFailure) {
        let processor = Self.pin(plan.index)
        let ring = try Self.makeRing(plan)
        var device = try Self.openDrives(plan, ring)
        let absent = Self.absentDrives(device, plan)
        if plan.formatsDrives {
            do throws(DriveFailure) {
                try DriveFormatting.format(
                    &device, ring: ring, arena: plan.memory.arena, memory: plan.formatRange,
                    as: StoreFiles.newStore(plan.engine))
            } catch {
                throw StartFailure(error)
            }
        }
        tcp = TCPTransport(
            shard: ring, listener: plan.listener, configuration: plan.transport,
            budget: plan.budget, range: plan.transportRange, slabs: plan.memory.slabs,
            counters: plan.counters,
            greeting: Self.greeting(plan, storeID: StoreIdentity(high: 0, low: 0)),
            keys: plan.keys)
        self.plan = plan
        self.control = control
        self.report = report
        self.ring = ring
        let transport: ShardTransport
        (transport, watch) = remote.transport(
            over: tcp, of: plan.index, on: ring, slabs: plan.memory.slabs, cells: plan.cells)
        engine = Engine(
            configuration: plan.engine, device: device, transport: transport,
            memory: plan.memory, cells: plan.cells, place: plan.place)
        limitReport = LimitReport(plan.counters)
        control.add(ring.waker, of: plan.index)
        report(
            .opened(
                ring: ring.features.description, processor: processor, absentDrives: absent))
    }

    private static func makeRing(_ plan: ShardPlan) throws(StartFailure) -> ShardRing {
        do throws(RingError) {
            return try ShardRing(
                arena: plan.memory.arena, inFlightLimit: inFlightLimit(plan))
        } catch {
            throw StartFailure(code: .failed, message: error.description)
        }
    }

    private static func openDrives(
        _ plan: ShardPlan, _ ring: ShardRing
    ) throws(StartFailure) -> IOUringDevice {
        do throws(DriveOpenError) {
            return try IOUringDevice(
                shard: ring, arena: plan.memory.arena, drives: plan.drives,
                operationLimit: deviceOperationLimit(plan))
        } catch {
            throw failure(of: error)
        }
    }

    private static func pin(_ index: Int) -> Int? {
        guard let processor = Processors.forShard(index) else { return nil }
        do throws(SystemError) {
            try pinThread(toProcessor: processor)
            return processor
        } catch {
            return nil
        }
    }

    private static func deviceOperationLimit(_ plan: ShardPlan) -> Int {
        2 * plan.engine.operationLimit
    }

    private static func inFlightLimit(_ plan: ShardPlan) -> Int {
        deviceOperationLimit(plan) + TCPTransport.inFlightLimit(for: plan.transport)
            + DescriptorWatch.inFlightLimit
    }

    /// What clients are told when they connect.
    private static func greeting(_ plan: ShardPlan, storeID: StoreIdentity) -> ConnectResponse {
        ConnectResponse(
            version: FrameHeader.version, batchLimit: plan.engine.batchLimit,
            bodyLimitBytes: BodyLayout.bodyLimitBytes,
            payloadLimitBytes: plan.transport.limits.payloadLimitBytes,
            valueLimitBytes: plan.engine.valueLimitBytes,
            requestsInFlight: UInt32(plan.transport.limits.requestsPerSession),
            storeID: [storeID.high, storeID.low])
    }

    private static func failure(of error: DriveOpenError) -> StartFailure {
        let code: ExitCode =
            switch error {
            case .noMemory, .ring: .failed
            default: .driveRefused
            }
        return StartFailure(code: code, message: error.description)
    }

    /// The drives that aren't there, each with the reason.
    private static func absentDrives(_ device: IOUringDevice, _ plan: ShardPlan) -> [AbsentDrive] {
        plan.driveNames.enumerated().compactMap { index, name in
            device.absence(of: DriveIndex(UInt16(index))).map {
                AbsentDrive(name: name, reason: "\($0)")
            }
        }
    }

    // MARK: The loop

    private mutating func work() throws(StartFailure) {
        var steps = 0
        while phase != .stopped {
            if control.stopIsRequested, phase == .recovering || phase == .serving {
                engine.beginDrain()
                try follow()
            }
            let hasWorked = engine.step(now: now())
            try follow()
            wakePeers()
            steps += 1
            if !hasWorked || steps % Self.stepsBetweenLooks == 0 {
                if let counts = limitReport.due(now: now()) { report(.refusals(counts)) }
                if let event = refusals.next(tcp, now: now()) { report(event) }
            }
            let mayWait = !hasWorked && phase != .stopped
            if mayWait { plan.place.post.willSleep(plan.place.shard) }
            let wake = min(engine.nextWake, refusals.due(tcp))
            ring.enter(wait: mayWait && !engine.hasNews, until: wake)
            if mayWait { plan.place.post.isAwake(plan.place.shard) }
        }
        if let counts = limitReport.due(now: .never) { report(.refusals(counts)) }
    }

    /// Wakes the shards that something was sent to, those that sleep.
    private mutating func wakePeers() {
        var mask = engine.takePeersToWake()
        while mask != 0 {
            let peer = mask.trailingZeroBitCount
            mask &= mask - 1
            if plan.place.post.mustBeWoken(ShardIndex(UInt8(peer))) { control.wake(peer) }
        }
    }

    /// Reports that the engine's phase has changed, if it has.
    private mutating func follow() throws(StartFailure) {
        if engine.phase == phase { return }
        phase = engine.phase
        switch phase {
        case .recovering, .stopped: break
        case .serving:
            tcp.greeting = Self.greeting(plan, storeID: engine.storeID)
            tcp.startListening()
            report(.ready)
        case .draining:
            tcp.stopListening()
            engine.transport.beginDrain()
            report(.draining)
        case .refused: throw refusal()
        }
    }

    private func refusal() -> StartFailure {
        let sentences = plan.driveNames.enumerated().compactMap { index, name in
            engine.driveRefusal(DriveIndex(UInt16(index))).map { "\(name) \($0)" }
        }
        return StartFailure(
            code: .driveRefused, message: sentences.joined(separator: "\nmemkvd: "))
    }
}

#endif
