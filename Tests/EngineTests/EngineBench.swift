// EngineBench: one engine over simulated drives, driven by a test.
//
// Always holds: time moves only when the engine has nothing to do; an engine that says "I worked"
// for ever without time moving is a failure by name, not a test that hangs. Payloads are made from
// a number, so that every byte of an answer can be compared.

@testable import Engine
import Sim
import Testing
import Wire

/// Sizes and seeds of a bench.
struct BenchSettings {
    var driveCount = 1
    var driveBytes: UInt64 = 6 << 20
    var journalBlocks: UInt32 = 32
    var slabCount = 32
    var slabBytes: UInt64 = 16 << 10
    var requestLimit = 64
    var seed: UInt64 = 1
    var supportsDiscard = false
    var mode = DriveMode.file
    var engine = EngineConfiguration()

    init() {
        engine.operationLimit = 96
        engine.valueLimitBytes = 64 << 10
        engine.blockSizeBytes = 16 << 10
        engine.minimumSlotBytes = 4 << 10
        engine.leafCacheBytes = 256 << 10
        engine.dirtyEntryLimit = 128
        engine.unsettledPayloadLimitBytes = 1 << 20
    }

    static let drive = DriveIndex(0)
}

/// What a bench couldn't do.
struct BenchFailure: Error, CustomStringConvertible {
    let description: String
}

/// An engine, its drives and its clients.
final class EngineBench {
    let settings: BenchSettings
    let world: SimulatedWorld
    let device: SimulatedDevice
    let transport: SimulatedTransport
    let slabs: SlabPool
    var engine: Engine<SimulatedDevice, SimulatedTransport>
    private(set) var replies: [RequestNumber: Reply] = [:]
    private let memory: SimulatedMemory

    /// An engine that has recovered `images`; fresh, formatted drives without them.
    init(_ settings: BenchSettings = BenchSettings(), images: [DriveImage]? = nil) throws {
        self.settings = settings
        world = SimulatedWorld()
        let privateBytes = Engine<SimulatedDevice, SimulatedTransport>.privateMemory(
            for: settings.engine, driveCount: settings.driveCount
        ).roundedUp(to: ByteCount(UInt64(4096)))
        let slabBytes = ByteCount(UInt64(settings.slabCount) * settings.slabBytes)
        let bodies = SimulatedTransport.memory(capacity: settings.requestLimit)
            .roundedUp(to: ByteCount(UInt64(4096)))
        let total = ByteCount(privateBytes.rawValue + slabBytes.rawValue + bodies.rawValue)
        memory = SimulatedMemory(length: total)
        var planner = ArenaPlanner(length: total)
        let privateRange = try Self.require(planner.take(privateBytes))
        slabs = SlabPool(
            arena: memory.arena, region: try Self.require(planner.take(slabBytes)),
            slabBytes: ByteCount(settings.slabBytes))
        let bodyRange = try Self.require(planner.take(bodies))
        device = SimulatedDevice(
            drives: try images ?? Self.formatted(settings),
            settings, world: world, arena: memory.arena)
        transport = SimulatedTransport(
            world: world, pool: slabs, memory: bodyRange, capacity: settings.requestLimit)
        engine = Engine(
            configuration: settings.engine, device: device, transport: transport,
            memory: EngineMemory(arena: memory.arena, privateRange: privateRange, slabs: slabs),
            cells: ShardCells(driveCount: settings.driveCount))
        transport.replyObserver = { [unowned self] in replies[$0.request] = $0 }
    }

    // MARK: Time

    /// Steps until `condition`; fails when the engine spins or has nothing left to wait for.
    func run(_ goal: String, until condition: () -> Bool) throws {
        var busySteps = 0
        for _ in 0..<200_000 {
            if condition() { return }
            let isBusy = engine.step(now: world.now)
            if isBusy || device.hasCompletion {
                busySteps += 1
                if busySteps > 20_000 { throw BenchFailure(description: "\(goal): it spins") }
                continue
            }
            if condition() { return }
            busySteps = 0
            guard let next = nextInstant else {
                throw BenchFailure(description: "\(goal): nothing left to wait for")
            }
            world.advance(to: next)
            device.advance()
        }
        throw BenchFailure(description: "\(goal): never reached")
    }

    private var nextInstant: Instant? {
        let wake = engine.nextWake
        let later = max(wake, world.now.advanced(byMicroseconds: 1))
        guard let event = device.nextEventTime else { return wake == .never ? nil : later }
        return wake == .never ? event : min(event, later)
    }

    /// Steps while the engine has anything to do without time passing; fails when it never ends.
    func settleNow() throws {
        for _ in 0..<20_000 where !engine.step(now: world.now) { return }
        throw BenchFailure(description: "it spins")
    }

    func serve() throws { try run("serving") { engine.phase == .serving } }

    func quiesce() throws {
        try run("idle") {
            transport.unansweredCount == 0 && engine.isIdle && device.inFlightCount == 0
        }
    }

    func checkpoint() throws {
        engine.requestCheckpoint()
        try run("checkpoint") { engine.isCheckpointed }
    }

    func drain() throws {
        engine.beginDrain()
        try run("stopped") { engine.phase == .stopped }
    }

    /// The drives as a power cut would find them now, everything unflushed lost.
    var images: [DriveImage] {
        (0..<settings.driveCount).map { device.durableImage(of: DriveIndex(UInt16($0))) }
    }

    // MARK: Requests

    @discardableResult
    func send(_ order: RequestOrder) throws -> RequestNumber {
        guard let number = transport.send(order) else {
            throw BenchFailure(description: "no place or slab for a request")
        }
        return number
    }

    func answer(to order: RequestOrder) throws -> Reply {
        let number = try send(order)
        try run("an answer to \(order.operation)") { replies[number] != nil }
        let reply = replies.removeValue(forKey: number)
        return try Self.require(reply)
    }

    func put(_ key: BlockKey, number: UInt64, count: Int) throws -> Status {
        try answer(to: RequestOrder(.tcpPut, key, payload: Self.value(number, count))).status
    }

    func delete(_ key: BlockKey) throws -> Status {
        try answer(to: RequestOrder(.tcpDelete, key)).status
    }

    /// The value of `key`, nil when it is a miss.
    func get(_ key: BlockKey) throws -> [UInt8]? {
        let reply = try answer(to: RequestOrder(.tcpGet, key))
        guard reply.status == .ok else { return nil }
        #expect(reply.isPayloadWhole)
        return reply.payload
    }

    func takeReplies() -> [Reply] {
        defer { replies = [:] }
        return replies.keys.sorted().compactMap { replies[$0] }
    }

    /// A key that is spread like a hash.
    static func key(_ number: UInt64, namespace: UInt32 = 0) -> BlockKey {
        BlockKey(
            namespace: Namespace(namespace),
            words: (
                BlockKey.finalize(number), BlockKey.finalize(number &+ 1 << 32), number, 7
            ))
    }

    /// A value that no other number has.
    static func value(_ number: UInt64, _ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        var word = number
        while bytes.count < count {
            word = BlockKey.finalize(word)
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    static func require<Value>(_ value: Value?) throws -> Value {
        guard let value else { throw BenchFailure(description: "nothing where something must be") }
        return value
    }

    // MARK: Drives

    /// Empty drives of one store.
    static func formatted(_ settings: BenchSettings) throws -> [DriveImage] {
        let world = SimulatedWorld()
        let memory = SimulatedMemory(length: DriveFormatter.memoryBytes)
        let blank = (0..<settings.driveCount).map { index in
            DriveImage(
                sectorBytes: 4096, sectorCount: settings.driveBytes / 4096,
                noiseSeed: settings.seed &+ UInt64(index))
        }
        var device = SimulatedDevice(
            drives: blank, settings, world: world, arena: memory.arena)
        let identities = (0..<settings.driveCount).map {
            StoreIdentity(high: settings.seed, low: UInt64($0) + 1)
        }
        for index in 0..<settings.driveCount {
            let format = FormatConfiguration(
                storeID: StoreIdentity(high: settings.seed, low: 99), driveID: identities[index],
                members: identities, blockSizeBytes: settings.engine.blockSizeBytes,
                minimumSlotBytes: settings.engine.minimumSlotBytes,
                journalBlocks: settings.journalBlocks)
            let drive = DriveIndex(UInt16(index))
            var formatter = DriveFormatter(
                drive: drive, geometry: device.geometry(of: drive), format: format,
                arena: memory.arena,
                memory: ArenaRange(
                    start: ArenaOffset(0), length: DriveFormatter.memoryBytes))
            while true {
                if try formatter.step(device: &device) { break }
                world.advance(to: try require(device.nextEventTime))
                device.advance()
            }
        }
        return (0..<settings.driveCount).map { device.durableImage(of: DriveIndex(UInt16($0))) }
    }
}

extension SimulatedDevice {
    convenience init(
        drives images: [DriveImage], _ settings: BenchSettings, world: SimulatedWorld, arena: Arena,
        absent: Set<Int> = []
    ) {
        self.init(
            drives: images.enumerated().map {
                SimulatedDriveSetup(
                    image: $1, mode: settings.mode, supportsDiscard: settings.supportsDiscard,
                    isPresent: !absent.contains($0))
            }, world: world, arena: arena, operationLimit: 256 * settings.driveCount,
            seed: settings.seed)
    }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Owns `key` like a change of it, and begins an eviction that will wait for it and then find
    /// another version than it meant; the owner.
    mutating func holdKeyAndBeginToEvict(_ key: BlockKey, on drive: DriveIndex) -> OperationIndex? {
        guard let holder = operations.take(.remove, leaving: 0) else { return nil }
        operations[holder].isAnswered = true
        operations[holder].key = key
        operations[holder].drive = drive
        guard locks.acquire(key, for: holder, in: &operations) else { return nil }
        var entry = DirtyEntry.none.entry
        entry.key = key
        guard beginRemoval(of: entry, on: drive, reason: .evicted) else { return nil }
        drives[drive].stagedRemovals += 1
        return holder
    }

    /// Gives back what `holdKeyAndBeginToEvict` took.
    mutating func letGo(_ holder: OperationIndex) { finish(holder, .notFound) }
}
