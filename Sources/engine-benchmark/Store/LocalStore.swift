// LocalStore: one drive, freshly formatted, behind a real engine on a real ring, in this process.
//
// Always holds: made and used by one thread; every run ends with nothing in flight.

#if IOUring

import Engine
import IOUring
import Ring
import Wire

/// What a store for a measurement is made of.
struct LocalStorePlan {
    var drive: DriveDescription
    var engine: EngineConfiguration
    var depth: Int
    var slabBytes: ByteCount
    var slabCount: Int
    var seed: UInt64
}

/// One run's length in time.
struct LocalRun {
    var seconds: Double
    var outcomes: LocalOutcomes
    /// Flushes of the drive during the run.
    var flushes: UInt64
}

/// The store. Confined to the thread that made it.
struct LocalStore: ~Copyable {
    private let ring: ShardRing
    private var engine: Engine<IOUringDevice, LocalTransport>
    let cells: ShardCells

    /// Opens the drive, formats it whatever it held, and waits until the engine serves.
    init(_ plan: LocalStorePlan) throws {
        let slabBytes = ByteCount(plan.slabBytes.rawValue * UInt64(plan.slabCount))
        let privateBytes = Engine<IOUringDevice, LocalTransport>.privateMemory(
            for: plan.engine, driveCount: 1
        ).roundedUp(to: ByteCount(UInt64(4096)))
        let bodyBytes = LocalTransport.memoryBytes(depth: plan.depth)
        let total = slabBytes.rawValue + privateBytes.rawValue + bodyBytes.rawValue
        let arena = try mapArena(bytes: ByteCount(total)).arena
        var planner = ArenaPlanner(length: arena.length)
        guard let slabRange = planner.take(slabBytes), let engineRange = planner.take(privateBytes),
            let bodyRange = planner.take(bodyBytes)
        else { preconditionFailure("an arena smaller than the sum of its parts") }
        let slabs = SlabPool(arena: arena, region: slabRange, slabBytes: plan.slabBytes)
        let transport = LocalTransport(
            arena: arena, bodies: bodyRange, slabs: slabs, depth: plan.depth, seed: plan.seed)
        let operationLimit = 2 * plan.engine.operationLimit
        let ring = try ShardRing(arena: arena, inFlightLimit: operationLimit)
        var device = try IOUringDevice(
            shard: ring, arena: arena, drives: [plan.drive], operationLimit: operationLimit)
        try Self.format(&device, ring, arena, engineRange, plan.engine)
        let cells = ShardCells(driveCount: 1)
        var engine = Engine(
            configuration: plan.engine, device: device, transport: transport,
            memory: EngineMemory(arena: arena, privateRange: engineRange, slabs: slabs),
            cells: cells)
        while engine.phase == .recovering {
            let hasWorked = engine.step(now: now())
            ring.enter(wait: !hasWorked && engine.phase == .recovering, until: engine.nextWake)
        }
        guard engine.phase == .serving else {
            let refusal = engine.driveRefusal(DriveIndex(0)).map { "\($0)" } ?? "unknown"
            throw BenchmarkFailure("the drive \(refusal)")
        }
        self.ring = ring
        self.engine = engine
        self.cells = cells
    }

    private static func format(
        _ device: inout IOUringDevice, _ ring: ShardRing, _ arena: Arena, _ range: ArenaRange,
        _ engine: EngineConfiguration
    ) throws {
        let drive = DriveIndex(0)
        if let absence = device.absence(of: drive) {
            throw BenchmarkFailure("the drive isn't there: \(absence)")
        }
        func draw() -> StoreIdentity {
            StoreIdentity(high: .random(in: 0 ... .max), low: .random(in: 0 ... .max))
        }
        let driveID = draw()
        let format = FormatConfiguration(
            storeID: draw(), driveID: driveID, members: [driveID],
            blockSizeBytes: engine.blockSizeBytes, minimumSlotBytes: engine.minimumSlotBytes)
        let geometry = device.geometry(of: drive)
        if let problem = DriveFormatter.impossibility(of: format, on: geometry) {
            throw BenchmarkFailure(problem)
        }
        var formatter = DriveFormatter(
            drive: drive, geometry: geometry, format: format, arena: arena,
            memory: range.part(at: 0, length: DriveFormatter.memoryBytes))
        while try !formatter.step(device: &device) { ring.enter(wait: true) }
    }

    /// Gives the engine the tasks 0..<count, as many at once as the transport's depth allows, and
    /// waits for the last answer.
    mutating func run(count: Int, _ task: (Int) -> LocalTask) -> LocalRun {
        engine.transport.outcomes = LocalOutcomes()
        let flushes = cells.drives[0].value(DriveCounter.flushes)
        let began = now()
        var next = 0
        while engine.transport.outcomes.all < count {
            while next < count, engine.transport.hasRoom {
                engine.transport.add(task(next))
                next += 1
            }
            let hasWorked = engine.step(now: now())
            ring.enter(wait: !hasWorked, until: engine.nextWake)
        }
        let nanoseconds = now().nanoseconds - began.nanoseconds
        return LocalRun(
            seconds: Double(nanoseconds) / 1e9, outcomes: engine.transport.outcomes,
            flushes: cells.drives[0].value(DriveCounter.flushes) - flushes)
    }
}

#endif
