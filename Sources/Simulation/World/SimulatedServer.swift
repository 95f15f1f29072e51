// SimulatedServer: one memkvd: shards, the pool they share, mailboxes, drives divided among them;
// its starts, its drains, its deaths.
//
// Always holds: what is on the drives outlives the process, faults included; nothing else does.
// Shards are stepped in an order drawn from the seed, now and then one is left out, so that what
// they send each other arrives early and late.

internal import Client
internal import Engine
internal import Judgement
internal import QueuePairs
internal import Sim
internal import Wire

/// A drive between two lives of the server.
struct StoredDrive {
    var image: DriveImage
    var faults = DriveFaults()
    var isPresent = true
    /// What faults had done in former lives.
    var effects = FaultEffects()
    /// Recovery and damage counters of former lives.
    var counters = DriveCounts()
    /// What it was at the end of the life before.
    var lastState = DriveState.online
}

/// Counters of a drive that the judge and the report ask for.
struct DriveCounts {
    var repairs: UInt64 = 0
    var tornValues: UInt64 = 0
    var emptied: UInt64 = 0
    var doubts: UInt64 = 0
    var shed: UInt64 = 0
    var lostLists: UInt64 = 0

    static func += (left: inout DriveCounts, right: DriveCounts) {
        left.repairs += right.repairs
        left.tornValues += right.tornValues
        left.emptied += right.emptied
        left.doubts += right.doubts
        left.shed += right.shed
        left.lostLists += right.lostLists
    }
}

final class SimulatedServer {
    enum Life { case down, recovering, serving, draining, stopped, refused }
    enum Death { case powerCut, kill, drained }

    let plan: ServerPlan
    private unowned let world: World
    private let seed: UInt64
    private var random: RandomStream
    private(set) var life = Life.down
    private(set) var shards: [ServerShard] = []
    private(set) var drives: [StoredDrive] = []
    private var slabs: SlabPool?
    /// Its RDMA; nil where no client of the scenario wants any.
    private(set) var remote: SimulatedRemote?
    private var memory: SimulatedMemory?
    private(set) var lives: UInt64 = 0
    private(set) var deaths: UInt64 = 0
    private var shardsBefore = 0
    var isFrozen = false
    /// How far its clock is ahead of the world's, in nanoseconds.
    private(set) var clockLead: UInt64 = 0
    /// Answers before this may be late: the process was frozen, or its clock had jumped.
    private(set) var lateFrom = Instant(nanoseconds: 0)
    private var formerEvictions: UInt64 = 0
    private(set) var formerCounts = SessionCounts()
    private var formerNoSpace: UInt64 = 0
    private var formerChecksumFailures: UInt64 = 0
    /// Returns of drives that forgot what had been changed without them, and kept the rest.
    private(set) var reconciledDrives: UInt64 = 0

    init(plan: ServerPlan, world: World, seed: UInt64) {
        self.plan = plan
        self.world = world
        self.seed = seed
        random = RandomStream(seed: seed, name: "server")
    }

    var clock: Instant { Instant(nanoseconds: world.now.nanoseconds + clockLead) }

    func jumpClock(byMicroseconds jump: UInt64) {
        clockLead += jump * 1000
        lateFrom = clock.advanced(byMicroseconds: 1000)
        for shard in shards { shard.nudge() }
    }

    func thaw() {
        isFrozen = false
        lateFrom = clock.advanced(byMicroseconds: 1000)
        for shard in shards { shard.nudge() }
    }

    // MARK: Life

    /// Makes the drives of a new store.
    func format() {
        let memory = SimulatedMemory(length: DriveFormatter.memoryBytes)
        let sim = SimulatedWorld()
        let blank = (0..<plan.driveCount).map { index in
            DriveImage(
                sectorBytes: plan.sectorBytes,
                sectorCount: plan.driveBytes / UInt64(plan.sectorBytes),
                noiseSeed: seed &+ UInt64(index))
        }
        var device = SimulatedDevice(
            drives: blank.map { SimulatedDriveSetup(image: $0, mode: plan.mode) }, world: sim,
            arena: memory.arena, operationLimit: 16, seed: seed)
        let members = KeyHomes.members(seed: seed, driveCount: plan.driveCount)
        for index in 0..<plan.driveCount {
            let format = FormatConfiguration(
                storeID: StoreIdentity(high: seed, low: 0x7374_6F72_65), driveID: members[index],
                members: members, blockSizeBytes: plan.engine.blockSizeBytes,
                minimumSlotBytes: plan.engine.minimumSlotBytes, journalBlocks: plan.journalBlocks)
            let drive = DriveIndex(UInt16(index))
            if let problem = DriveFormatter.impossibility(
                of: format, on: device.geometry(of: drive))
            {
                preconditionFailure("the scenario's drives can't be formatted: \(problem)")
            }
            var formatter = DriveFormatter(
                drive: drive, geometry: device.geometry(of: drive), format: format,
                arena: memory.arena,
                memory: ArenaRange(start: ArenaOffset(0), length: DriveFormatter.memoryBytes))
            while true {
                do throws(DeviceError) {
                    if try formatter.step(device: &device) { break }
                } catch { preconditionFailure("a sound drive answered \(error)") }
                guard let next = device.nextEventTime else { break }
                sim.advance(to: next)
                device.advance()
            }
        }
        drives = (0..<plan.driveCount).map {
            StoredDrive(image: device.durableImage(of: DriveIndex(UInt16($0))))
        }
    }

    /// Starts the process.
    func start() {
        precondition(life == .down, "a server started twice")
        lives += 1
        let count = min(Int(plan.shards.draw(from: &random)), plan.driveCount)
        world.reached.insert(.otherShardCount, if: lives > 1 && count != shardsBefore)
        shardsBefore = count
        let numbers = (0..<count).map { Array(stride(from: $0, to: plan.driveCount, by: count)) }
        build(numbers)
        life = .recovering
        world.note(.started, lives, UInt64(count))
    }

    private func build(_ numbers: [[Int]]) {
        let page = ByteCount(UInt64(4096))
        let privateBytes = numbers.map {
            Engine<SimulatedDevice, SimulatedSessions>.privateMemory(
                for: plan.engine, driveCount: $0.count
            ).roundedUp(to: page)
        }
        let slabBytes = ByteCount(plan.slabCount * UInt64(plan.engine.blockSizeBytes))
        let bodies = SimulatedSessions.memory(requests: plan.limits.requests).roundedUp(to: page)
        let messages =
            plan.remote.map { $0.configuration.memoryBytes.roundedUp(to: page) } ?? .zero
        let total = privateBytes.reduce(slabBytes.rawValue) {
            $0 + $1.rawValue + bodies.rawValue + messages.rawValue
        }
        if memory.map({ $0.arena.length.rawValue < total }) ?? true {
            memory = SimulatedMemory(length: ByteCount(total))
        }
        guard let arena = memory?.arena else { preconditionFailure("no memory") }
        var planner = ArenaPlanner(length: ByteCount(total))
        func take(_ length: ByteCount) -> ArenaRange {
            guard let range = planner.take(length) else { preconditionFailure("no memory left") }
            return range
        }
        let slabs = SlabPool(
            arena: arena, region: take(slabBytes),
            slabBytes: ByteCount(UInt64(plan.engine.blockSizeBytes)))
        self.slabs = slabs
        let post = ShardPost(shardCount: numbers.count, driveCount: plan.driveCount)
        var configuration = plan.engine
        configuration.epochEntropy = Mixer.mix(seed &+ lives)
        shards = numbers.indices.map { index in
            let device = SimulatedDevice(
                drives: numbers[index].map { setup(drives[$0]) }, world: world.sim, arena: arena,
                operationLimit: plan.engine.operationLimit * 4,
                seed: seed &+ UInt64(index) << 32, incarnation: lives)
            device.countsChangedWrites = plan.remote != nil
            let sessions = SimulatedSessions(
                world: world, limits: plan.limits,
                greeting: plan.greeting(storeID: StoreIdentity(high: 0, low: 0)), keys: plan.keys,
                tagsPayloads: plan.tagsPayloads, slabs: slabs, memory: take(bodies))
            return ServerShard(
                index: index, numbers: numbers[index], device: device, sessions: sessions,
                configuration: configuration,
                memory: EngineMemory(
                    arena: arena, privateRange: take(privateBytes[index]), slabs: slabs),
                post: post)
        }
        guard let remotePlan = plan.remote else { return }
        let remote = SimulatedRemote(
            world: world, plan: remotePlan, slabs: slabs, shardCount: numbers.count, seed: seed,
            life: lives)
        self.remote = remote
        for shard in shards {
            shard.sessions.remote = ShardRemote(
                remote.fabrics[shard.index], shard: shard.index, sessions: shard.sessions,
                memory: RDMAMemory(range: take(messages)), cells: shard.cells)
        }
    }

    /// Where a shard's messages by RDMA lie.
    func remoteMemory(of shard: Int) -> RDMAMemory? { shards[shard].sessions.remote?.memory }

    private func setup(_ drive: StoredDrive) -> SimulatedDriveSetup {
        var setup = SimulatedDriveSetup(
            image: drive.image, mode: plan.mode, supportsDiscard: true,
            isPresent: drive.isPresent && drive.faults.offlineAnswer != .gone)
        setup.latency = plan.latency
        setup.service = plan.service
        setup.faults = drive.faults
        return setup
    }

    /// Begins to finish what is under way; `step` ends it.
    func beginDrain() {
        guard life == .serving || life == .recovering else { return }
        life = .draining
        for shard in shards {
            shard.sessions.remote?.transport.beginDrain()
            shard.engine.beginDrain()
            shard.nudge()
        }
    }

    /// The process is gone, and what it leaves on its drives is settled.
    func end(_ death: Death) {
        guard life != .down else { return }
        deaths += 1
        world.note(.stopped, deaths, death == .powerCut ? 1 : death == .kill ? 2 : 3)
        formerEvictions = evictions
        formerNoSpace = noSpaceAnswers
        formerChecksumFailures = checksumFailures
        for shard in shards { formerCounts.add(shard.sessions.counts) }
        for shard in shards {
            let images = images(of: shard, death)
            for (place, number) in shard.numbers.enumerated() {
                let drive = DriveIndex(UInt16(place))
                drives[number].image = images[place]
                var faults = shard.device.faults(of: drive)
                faults.failures = []
                faults.goneFromOperation = nil
                drives[number].faults = faults
                drives[number].effects += shard.device.effects(of: drive)
                drives[number].counters += counts(of: shard.cells.drives[place])
                drives[number].lastState = shard.cells.drives[place].state
            }
        }
        remote?.end()
        remote = nil
        shards = []
        slabs = nil
        life = .down
        isFrozen = false
        world.network.resetAll()
    }

    private func images(of shard: ServerShard, _ death: Death) -> [DriveImage] {
        let crash = deaths << 8 | UInt64(shard.index)
        if death == .powerCut { return shard.device.crash(seed: seed, crash: crash) }
        // The drives keep their power: what completed is there, what was under way is there or not.
        let state = shard.device.crashState()
        let sectors = state.unflushedSectors()
        var draws = RandomStream(seed: seed, name: "process end", incarnation: crash)
        let outcomes = sectors.map { sector in
            sector.isInFlight && draws.chance(percent: 50)
                ? SectorOutcome.version(sector.versions.count - 2) : sector.newest
        }
        return state.resolved(sectors, as: outcomes, garbageSeed: seed)
    }

    // MARK: Turns

    /// Steps the shards that have something to do; true when one had.
    func step() -> Bool {
        guard !shards.isEmpty, !isFrozen else { return false }
        var moved = false
        let now = clock
        let count = shards.count
        let first = count == 1 ? 0 : Int(random.below(UInt64(count)))
        for offset in 0..<count {
            let shard = shards[(first + offset) % count]
            guard shard.wantsStep(now: now) else { continue }
            moved = true
            if count > 1, random.chance(percent: 30) { continue }
            shard.step(now: now)
        }
        if moved { follow() }
        return moved
    }

    private func follow() {
        switch life {
        case .recovering:
            if shards.contains(where: { $0.engine.phase == .refused }) {
                life = .refused
                return
            }
            guard shards.allSatisfy({ $0.engine.phase == .serving }) else { return }
            life = .serving
            noteReturns()
            for shard in shards {
                shard.sessions.greeting = plan.greeting(storeID: shard.engine.storeID)
                shard.sessions.isAccepting = true
            }
        case .draining:
            for shard in shards { shard.sessions.isAccepting = false }
            guard shards.allSatisfy({ $0.engine.phase == .stopped }) else { return }
            life = .stopped
        case .down, .serving, .stopped, .refused: break
        }
    }

    /// Recovery has ended, and nothing was asked for yet: what became of the drives that were out?
    private func noteReturns() {
        for shard in shards {
            for (place, number) in shard.numbers.enumerated() {
                let before = drives[number].lastState
                let cells = shard.cells.drives[place]
                let isEmptied = cells.value(.returnedEmpty) > 0
                world.reached.insert(
                    .outDriveEmptied, if: isEmptied && (before == .absent || before == .offline))
                guard !isEmptied, cells.value(.supersededBlocks) > 0 else { continue }
                reconciledDrives += 1
                world.reached.insert(.driveReconciled)
                world.reached.insert(.fencedDriveReconciled, if: before == .offline)
            }
        }
    }

    /// When something happens inside though nothing comes from outside.
    var nextInstant: Instant {
        guard !shards.isEmpty else { return .never }
        var next = Instant.never
        let clock = clock
        for shard in shards {
            if let event = shard.device.nextEventTime { next = min(next, event) }
            if isFrozen { continue }
            let wake = shard.nextWake(now: clock)
            guard wake != .never else { continue }
            let later = max(wake, clock.advanced(byMicroseconds: 1))
            next = min(next, Instant(nanoseconds: later.nanoseconds - clockLead))
        }
        return next
    }

    func advanceDevices() {
        for shard in shards { shard.device.advance() }
    }

    /// Takes a connection by the shard that the seed picks; false when nobody listens.
    func accept(_ connection: SimulatedConnection) -> Bool {
        guard life == .serving, !shards.isEmpty else { return false }
        return shards[Int(random.below(UInt64(shards.count)))].sessions.accept(connection)
    }

    /// Sessions of all shards: the limit is the daemon's.
    var sessionCount: Int { shards.reduce(0) { $0 + $1.sessions.sessionCount } }

    func endOverdue() {
        guard !isFrozen else { return }
        for shard in shards { shard.sessions.endOverdue(now: clock) }
    }

    // MARK: Drives

    /// Changes a drive's faults, in the process that runs or for the next one.
    func changeFaults(of number: Int, _ change: (inout DriveFaults) -> Void) {
        for shard in shards {
            guard let place = shard.numbers.firstIndex(of: number) else { continue }
            let drive = DriveIndex(UInt16(place))
            var faults = shard.device.faults(of: drive)
            change(&faults)
            shard.device.setFaults(faults, of: drive)
            shard.nudge()
            return
        }
        change(&drives[number].faults)
    }

    /// Every drive is there again.
    func bringBackDrives() { for number in drives.indices { drives[number].isPresent = true } }

    func setPresent(_ isPresent: Bool, of number: Int) { drives[number].isPresent = isPresent }

    /// Sectors of a drive that hold something, in order.
    func writtenSectors(of number: Int, in range: Range<UInt64>) -> [UInt64] {
        for shard in shards {
            guard let place = shard.numbers.firstIndex(of: number) else { continue }
            return shard.device.writtenSectors(of: DriveIndex(UInt16(place)), in: range)
        }
        return drives[number].image.writtenSectors(in: range)
    }

    /// Where everything lies on each drive.
    var layout: DriveLayout {
        let classes = SizeClasses(
            minimumSlotBytes: plan.engine.minimumSlotBytes,
            blockSizeBytes: plan.engine.blockSizeBytes)
        guard
            let layout = DriveLayout(
                capacityBytes: plan.driveBytes, classes: classes, journalBlocks: plan.journalBlocks)
        else { preconditionFailure("drives without a layout") }
        return layout
    }

    func effects(of number: Int) -> FaultEffects {
        var effects = drives[number].effects
        for shard in shards {
            guard let place = shard.numbers.firstIndex(of: number) else { continue }
            effects += shard.device.effects(of: DriveIndex(UInt16(place)))
        }
        return effects
    }
}

extension SessionCounts {
    mutating func add(_ other: SessionCounts) {
        sessions += other.sessions
        requests += other.requests
        refusals += other.refusals
        foreign += other.foreign
        truncated += other.truncated
        authenticated += other.authenticated
        overdue += other.overdue
        postponed += other.postponed
        orphans += other.orphans
        refusedConnections += other.refusedConnections
        handedOverLate += other.handedOverLate
        worstLatenessMicroseconds = max(worstLatenessMicroseconds, other.worstLatenessMicroseconds)
    }
}

// MARK: - What it says of itself

extension SimulatedServer {
    var evictions: UInt64 {
        formerEvictions + shards.reduce(0) { $0 + $1.cells.value(ShardCounter.evictions) }
    }

    var noSpaceAnswers: UInt64 {
        formerNoSpace + shards.reduce(0) { $0 + $1.cells.value(ShardCounter.noSpaceResponses) }
    }

    private var checksumFailures: UInt64 {
        formerChecksumFailures
            + shards.reduce(0) { $0 + $1.cells.value(ShardCounter.checksumFailures) }
    }

    func counts(of cells: DriveCells) -> DriveCounts {
        DriveCounts(
            repairs: cells.value(.journalRepairs) + cells.value(.superblockRepairs),
            tornValues: cells.value(.recoveredTornPayloads), emptied: cells.value(.returnedEmpty),
            doubts: cells.value(.quarantinedSlots) + cells.value(.readErrors)
                + cells.value(.damagedLeaves) * 255,
            shed: cells.value(.shedStalled) + cells.value(.shedUnresponsive)
                + cells.value(.shedOverShare),
            lostLists: cells.value(.lostChangeLists))
    }

    var counters: DriveCounts {
        var sum = DriveCounts()
        for drive in drives { sum += drive.counters }
        for shard in shards {
            for cells in shard.cells.drives { sum += counts(of: cells) }
        }
        return sum
    }

    var sessionCounts: SessionCounts {
        var sum = formerCounts
        for shard in shards { sum.add(shard.sessions.counts) }
        return sum
    }

    /// How the drives are, in the configuration's order; empty while it is down.
    var driveConditions: [DriveCondition] {
        guard !shards.isEmpty else { return [] }
        return (0..<plan.driveCount).map { number in
            let shard = shards[number % shards.count]
            return shard.cells.drives[number / shards.count].condition
        }
    }

    /// What it has in hand, for reports.
    var standing: String {
        let report = report
        return "\(report.operationsInFlight) operations under way, \(report.slabsAllocated) of "
            + "\(report.slabsTotal) slabs taken"
    }

    /// Operations in flight on each drive.
    var driveQueues: [UInt64] {
        guard !shards.isEmpty else { return [] }
        return (0..<plan.driveCount).map { number in
            UInt64(
                shards[number % shards.count].device.inFlightCount(
                    of: DriveIndex(UInt16(number / shards.count))))
        }
    }

    /// What health, status and counters say.
    var report: StoreReport {
        var report = StoreReport()
        report.drivesTotal = UInt64(plan.driveCount)
        report.evictions = evictions
        let counters = counters
        report.doubts = counters.doubts + checksumFailures
        report.damagedValues = checksumFailures
        report.drivesEmptied = counters.emptied
        report.tornValues = counters.tornValues
        report.shedRequests = counters.shed
        guard life == .serving || life == .recovering || life == .draining else { return report }
        let states = driveConditions.map(\.state)
        report.drivesOnline = UInt64(states.count { $0 == .online })
        report.drivesMissing = UInt64(states.count { $0 == .offline || $0 == .absent })
        let isImpaired = shards.contains { $0.cells.drives.contains { $0.condition.isDegraded } }
        report.health =
            report.drivesMissing == UInt64(states.count)
            ? .unhealthy : report.drivesMissing > 0 || isImpaired ? .degraded : .healthy
        for shard in shards {
            report.blocks += shard.cells.value(ShardGauge.blocks)
            report.operationsInFlight += shard.cells.value(ShardGauge.operationsInFlight)
            for cells in shard.cells.drives {
                report.usedBytes += cells.value(.usedBytes)
                report.usableBytes += cells.value(.usableBytes)
                report.quarantinedBytes += cells.value(.quarantinedBytes)
            }
        }
        if let slabs {
            report.slabsTotal = UInt64(slabs.slabCount)
            report.slabsAllocated = UInt64(Int(slabs.slabCount) - slabs.freeSlabs)
        }
        return report
    }
}
