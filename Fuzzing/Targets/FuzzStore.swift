// FuzzStore: an engine over a FlatDevice and the requests that a target puts to it.
//
// Always holds, or the run traps: each request is answered exactly once within the step budget; a
// payload that is answered `ok` has the checksum that the answer gives.

import Wire

@testable import Engine

/// The sizes that stores of fuzz targets have, and the memory that one after the other uses.
enum FuzzSizes {
    static let driveBytes = 6 << 20
    static let slabBytes: UInt64 = 16 << 10
    static let slabCount = 8
    static let requestLimit = 4
    /// Steps for recovery or for a request; the longest that is right takes a few hundred.
    static let stepLimit = 20_000

    static let engine: EngineConfiguration = {
        var configuration = EngineConfiguration()
        configuration.operationLimit = 16
        configuration.valueLimitBytes = 64 << 10
        configuration.blockSizeBytes = 16 << 10
        configuration.minimumSlotBytes = 4 << 10
        configuration.leafCacheBytes = 64 << 10
        configuration.dirtyEntryLimit = 32
        configuration.unsettledPayloadLimitBytes = 256 << 10
        return configuration
    }()

    static let format: FormatConfiguration = {
        let drive = StoreIdentity(high: 7, low: 0x6472_6976_65)
        return FormatConfiguration(
            storeID: StoreIdentity(high: 8, low: 9), driveID: drive, members: [drive],
            blockSizeBytes: engine.blockSizeBytes, minimumSlotBytes: engine.minimumSlotBytes,
            journalBlocks: 16)
    }()

    static let privateBytes = Engine<FlatDevice, FuzzTransport>.privateMemory(
        for: engine, driveCount: 1
    ).roundedUp(to: ByteCount(4096))
    static let bodyBytes = ByteCount(
        UInt64(requestLimit) * 2 * UInt64(BodyLayout.bodyLimitBytes)
    ).roundedUp(to: ByteCount(4096))
    static let arena = FuzzMemory.arena(
        byteCount: max(
            Int(privateBytes.rawValue + bodyBytes.rawValue) + slabCount * Int(slabBytes),
            Int(DriveCheck<FlatDevice>.memoryBytes.rawValue)))
}

/// A request's end.
struct FuzzReply {
    let status: Status
    let payload: [UInt8]
}

/// Hands one request at a time to an engine.
final class FuzzTransport: Transport {
    let pool: SlabPool
    private let bodies: ArenaRange
    private var waiting: Request?
    private var payload: SlabLease?
    private var generation: UInt32 = 0
    private(set) var reply: FuzzReply?

    init(pool: SlabPool, bodies: ArenaRange) {
        self.pool = pool
        self.bodies = bodies
    }

    func send(_ operation: OperationCode, _ key: BlockKey, payload value: [UInt8] = []) {
        let limit = ByteCount(Int(BodyLayout.bodyLimitBytes))
        let body = bodies.part(at: 0, length: limit)
        pool.arena.storeKey(key, at: body.start)
        if !value.isEmpty {
            guard let lease = pool.lease(lengthBytes: ByteCount(value.count)) else {
                preconditionFailure("slabs are missing between two requests")
            }
            var position = 0
            while position < value.count {
                let piece = lease.piece(
                    at: UInt64(position), limit: ByteCount(value.count - position))
                let end = position + Int(piece.length.rawValue)
                FuzzMemory.copy(Array(value[position..<end]), to: pool.arena, at: piece.start)
                position = end
            }
            payload = consume lease
        }
        generation += 1
        reply = nil
        waiting = Request(
            handle: RequestHandle(index: 0, generation: generation), operation: operation,
            namespace: key.namespace, deadline: .never, arrival: Instant(nanoseconds: 0),
            body: body.part(at: 0, length: ByteCount(Int(BodyLayout.keyBytes))),
            responseBody: bodies.part(at: limit.rawValue, length: limit),
            payloadBytes: UInt32(value.count),
            payloadChecksum: value.isEmpty ? 0 : FuzzMemory.checksum(value))
    }

    func nextRequest(now: Instant) -> Request? { waiting.take() }

    func takePayload(of request: RequestHandle) -> SlabLease? { payload.take() }

    func respond(
        to request: RequestHandle, with response: Response, payload given: consuming SlabLease?
    ) {
        precondition(request.generation == generation && reply == nil, "answered twice")
        payload = nil
        var bytes: [UInt8] = []
        if response.payloadBytes > 0 {
            guard let lease = given.take() else { preconditionFailure("a payload of no slabs") }
            while bytes.count < Int(response.payloadBytes) {
                let piece = lease.piece(
                    at: UInt64(bytes.count),
                    limit: ByteCount(Int(response.payloadBytes) - bytes.count))
                bytes += FuzzMemory.bytes(pool.arena, piece)
            }
            precondition(response.status == .ok, "a payload with a refusal")
            precondition(
                FuzzMemory.checksum(bytes) == response.payloadChecksum,
                "bytes that don't match their checksum")
        }
        reply = FuzzReply(status: response.status, payload: bytes)
    }
}

/// An engine at work.
struct FuzzStore: ~Copyable {
    private var engine: Engine<FlatDevice, FuzzTransport>
    private let transport: FuzzTransport
    private let device: FlatDevice
    private let slabs: SlabPool
    private var time = Instant(nanoseconds: 1_000_000_000)

    init(_ device: FlatDevice, plantedBug: PlantedBug? = nil) {
        let arena = FuzzSizes.arena
        let privateRange = ArenaRange(start: ArenaOffset(0), length: FuzzSizes.privateBytes)
        let bodies = ArenaRange(
            start: privateRange.start.advanced(by: privateRange.length.rawValue),
            length: FuzzSizes.bodyBytes)
        slabs = SlabPool(
            arena: arena,
            region: ArenaRange(
                start: bodies.start.advanced(by: bodies.length.rawValue),
                length: ByteCount(UInt64(FuzzSizes.slabCount) * FuzzSizes.slabBytes)),
            slabBytes: ByteCount(FuzzSizes.slabBytes))
        self.device = device
        transport = FuzzTransport(pool: slabs, bodies: bodies)
        var configuration = FuzzSizes.engine
        configuration.plantedBug = plantedBug
        engine = Engine(
            configuration: configuration, device: device, transport: transport,
            memory: EngineMemory(arena: arena, privateRange: privateRange, slabs: slabs),
            cells: ShardCells(driveCount: 1))
    }

    /// Steps until `condition`; traps when it is never reached.
    private mutating func run(_ goal: String, until condition: (borrowing Self) -> Bool) {
        for _ in 0..<FuzzSizes.stepLimit {
            if condition(self) { return }
            let isBusy = engine.step(now: time)
            if isBusy || device.hasCompletion { continue }
            if condition(self) { return }
            let wake = engine.nextWake
            if wake == .never { fatalError("\(goal): nothing left to wait for") }
            time = max(wake, time.advanced(byMicroseconds: 1))
        }
        fatalError("\(goal): never")
    }

    /// Recovers; false when the drive is refused.
    mutating func recover() -> Bool {
        run("recovery") { store in
            store.engine.phase == .serving || store.engine.driveRefusal(DriveIndex(0)) != nil
        }
        return engine.phase == .serving
    }

    mutating func request(
        _ operation: OperationCode, _ key: BlockKey, payload: [UInt8] = []
    ) -> FuzzReply {
        transport.send(operation, key, payload: payload)
        run("an answer") { $0.transport.reply != nil }
        guard let reply = transport.reply else { preconditionFailure("no answer") }
        return reply
    }

    mutating func checkpoint() {
        engine.requestCheckpoint()
        run("a checkpoint") { $0.engine.isCheckpointed }
    }

    mutating func drain() {
        engine.beginDrain()
        run("the end") { $0.engine.phase == .stopped }
    }

    /// Lets everything finish that goes on by itself; traps when a slab stays in use.
    mutating func settle() {
        run("idleness") { $0.engine.isIdle && !$0.device.hasCompletion }
        precondition(slabs.freeSlabs == FuzzSizes.slabCount, "a slab is still in use")
    }

    static func format(_ device: FlatDevice) {
        var formatter = DriveFormatter(
            drive: DriveIndex(0), geometry: device.geometry(of: DriveIndex(0)),
            format: FuzzSizes.format, arena: FuzzSizes.arena,
            memory: ArenaRange(start: ArenaOffset(0), length: DriveFormatter.memoryBytes))
        var device = device
        do throws(DeviceError) {
            while try !formatter.step(device: &device) {}
        } catch { fatalError("formatting: \(error)") }
    }
}
