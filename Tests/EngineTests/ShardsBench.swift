// ShardsBench: the engines of one daemon in one world, stepped in an order drawn from a seed, so
// that what they send each other arrives early and late.
//
// Always holds: time moves only when no engine has anything to do; drive `n` of the store is shard
// `n mod N`'s; a bench that can't go on says so by name.

@testable import Engine
import Sim
import Wire

/// Several engines, their drives and their clients.
final class ShardsBench {
    let settings: BenchSettings
    let shardCount: Int
    let world = SimulatedWorld()
    let slabs: SlabPool
    let post: ShardPost
    let shards: [Shard]
    var replies: [RequestNumber: Reply] = [:]
    private let memory: SimulatedMemory
    private var random: RandomStream

    /// One shard.
    final class Shard {
        let device: SimulatedDevice
        let transport: SimulatedTransport
        var engine: Engine<SimulatedDevice, SimulatedTransport>

        init(
            _ settings: BenchSettings, device: SimulatedDevice, transport: SimulatedTransport,
            memory: EngineMemory, place: ShardPlace
        ) {
            self.device = device
            self.transport = transport
            engine = Engine(
                configuration: settings.engine, device: device, transport: transport,
                memory: memory, cells: ShardCells(driveCount: place.driveNumbers.count),
                place: place)
        }
    }

    /// Engines over `images`, one for each of `settings.driveCount` drives, fresh ones without; the
    /// drives in `absent` aren't there.
    init(
        _ settings: BenchSettings, shards shardCount: Int, images: [DriveImage]? = nil,
        absent: Set<Int> = [], requestLimit: Int = 256
    ) throws {
        self.settings = settings
        self.shardCount = shardCount
        random = RandomStream(seed: settings.seed, name: "shards")
        let images = try images ?? EngineBench.formatted(settings)
        let numbers = (0..<shardCount).map { shard in
            stride(from: shard, to: settings.driveCount, by: shardCount).map {
                DriveNumber(UInt16($0))
            }
        }
        let page = ByteCount(UInt64(4096))
        let privateBytes = numbers.map {
            Engine<SimulatedDevice, SimulatedTransport>.privateMemory(
                for: settings.engine, driveCount: $0.count
            ).roundedUp(to: page)
        }
        let slabBytes = ByteCount(UInt64(settings.slabCount) * settings.slabBytes)
        let bodies = SimulatedTransport.memory(capacity: settings.requestLimit).roundedUp(to: page)
        let total = privateBytes.reduce(slabBytes.rawValue) { $0 + $1.rawValue + bodies.rawValue }
        memory = SimulatedMemory(length: ByteCount(total))
        var planner = ArenaPlanner(length: ByteCount(total))
        slabs = SlabPool(
            arena: memory.arena, region: try EngineBench.require(planner.take(slabBytes)),
            slabBytes: ByteCount(settings.slabBytes))
        post = ShardPost(
            shardCount: shardCount, driveCount: settings.driveCount, requestLimit: requestLimit)
        var shards: [Shard] = []
        for index in 0..<shardCount {
            let range = try EngineBench.require(planner.take(privateBytes[index]))
            let transport = SimulatedTransport(
                world: world, pool: slabs, memory: try EngineBench.require(planner.take(bodies)),
                capacity: settings.requestLimit)
            let device = SimulatedDevice(
                drives: numbers[index].map { images[Int($0.rawValue)] }, settings, world: world,
                arena: memory.arena,
                absent: Set(
                    numbers[index].indices.filter {
                        absent.contains(Int(numbers[index][$0].rawValue))
                    }))
            shards.append(
                Shard(
                    settings, device: device, transport: transport,
                    memory: EngineMemory(arena: memory.arena, privateRange: range, slabs: slabs),
                    place: ShardPlace(
                        shard: ShardIndex(UInt8(index)), post: post,
                        driveNumbers: numbers[index])))
        }
        self.shards = shards
        for (index, shard) in shards.enumerated() {
            // Each transport counts its requests by itself.
            shard.transport.replyObserver = { [unowned self] reply in
                replies[Self.number(reply.request, of: index)] = reply
            }
        }
    }

    private static func number(_ request: RequestNumber, of shard: Int) -> RequestNumber {
        RequestNumber(request.rawValue << 8 | UInt64(shard))
    }

    // MARK: Time

    /// Lets `milliseconds` pass.
    func pass(milliseconds: UInt64) throws {
        let end = world.now.advanced(byMicroseconds: milliseconds * 1000)
        try run("time", upTo: end) { world.now >= end }
    }

    /// Steps until `condition`; fails when the engines spin or have nothing left to wait for. There
    /// is always `limit` to wait for, when one is given.
    func run(
        _ goal: String, upTo limit: Instant? = nil, until condition: () -> Bool
    ) throws {
        var busyTurns = 0
        for _ in 0..<400_000 {
            if condition() { return }
            var isBusy = false
            let first = Int(random.below(UInt64(shardCount)))
            for offset in 0..<shardCount {
                let shard = shards[(first + offset) % shardCount]
                // Left out now and then: what was sent to it arrives later.
                if shardCount > 1, random.chance(percent: 30) {
                    isBusy = true
                    continue
                }
                if shard.engine.step(now: world.now) { isBusy = true }
                if shard.device.hasCompletion || shard.engine.hasNews { isBusy = true }
            }
            if isBusy {
                busyTurns += 1
                if busyTurns > 50_000 { throw BenchFailure(description: "\(goal): it spins") }
                continue
            }
            if condition() { return }
            busyTurns = 0
            guard let next = [nextInstant, limit].compactMap(\.self).min() else {
                throw BenchFailure(description: "\(goal): nothing left to wait for")
            }
            world.advance(to: next)
            for shard in shards { shard.device.advance() }
        }
        throw BenchFailure(description: "\(goal): never reached")
    }

    /// Steps `count` times, or until nothing is left to wait for.
    func step(_ count: Int) {
        for _ in 0..<count {
            let shard = shards[Int(random.below(UInt64(shardCount)))]
            if shard.engine.step(now: world.now) || shard.device.hasCompletion { continue }
            guard let next = nextInstant else { return }
            world.advance(to: max(next, world.now))
            for shard in shards { shard.device.advance() }
        }
    }

    private var nextInstant: Instant? {
        let soon = world.now.advanced(byMicroseconds: 1)
        let instants = shards.flatMap { shard -> [Instant] in
            let wake = shard.engine.nextWake
            return [shard.device.nextEventTime, wake == .never ? nil : max(wake, soon)]
                .compactMap { $0 }
        }
        return instants.min()
    }

    func serve() throws {
        try run("serving") { shards.allSatisfy { $0.engine.phase == .serving } }
    }

    func drain() throws {
        for shard in shards { shard.engine.beginDrain() }
        try run("stopped") { shards.allSatisfy { $0.engine.phase == .stopped } }
    }

    func quiesce() throws {
        try run("idle") {
            shards.allSatisfy {
                $0.transport.unansweredCount == 0 && $0.engine.isIdle
                    && $0.device.inFlightCount == 0
            }
        }
    }

    /// The drives in the store's order, everything unflushed lost.
    var images: [DriveImage] {
        (0..<settings.driveCount).map { number in
            shards[number % shardCount].device.durableImage(
                of: DriveIndex(UInt16(number / shardCount)))
        }
    }

    /// The drives in the store's order, as a power cut under the default policy leaves them.
    func crash(_ number: UInt64) -> [DriveImage] {
        let images = shards.map { $0.device.crash(seed: settings.seed, crash: number) }
        return (0..<settings.driveCount).map { images[$0 % shardCount][$0 / shardCount] }
    }

    /// The drive that is member `number` of the store, and its shard.
    func place(of number: Int) -> (shard: Shard, drive: DriveIndex) {
        (shards[number % shardCount], DriveIndex(UInt16(number / shardCount)))
    }

    // MARK: Requests

    /// Sends a request to a shard; nil when it has no place or no slab.
    func send(_ order: RequestOrder, to shard: Int) -> RequestNumber? {
        shards[shard].transport.send(order).map { Self.number($0, of: shard) }
    }

    /// Sends a request to any shard and awaits its answer.
    func answer(to order: RequestOrder) throws -> Reply {
        let shard = Int(random.below(UInt64(shardCount)))
        let number = try EngineBench.require(send(order, to: shard))
        try run("an answer to \(order.operation)") { replies[number] != nil }
        return try EngineBench.require(replies.removeValue(forKey: number))
    }

    func put(_ key: BlockKey, number: UInt64, count: Int) throws -> Status {
        let payload = EngineBench.value(number, count)
        return try answer(to: RequestOrder(.tcpPut, key, payload: payload)).status
    }

    /// The value of `key`, nil when it is a miss.
    func get(_ key: BlockKey) throws -> [UInt8]? {
        let reply = try answer(to: RequestOrder(.tcpGet, key))
        return reply.status == .ok && reply.isPayloadWhole ? reply.payload : nil
    }

    /// The shard and the drive that `key` belongs to.
    func home(of key: BlockKey) -> DriveHome { shards[0].engine.placement.home(of: key) }

    /// A key of `shard`, beginning to look at `first`.
    func key(of shard: Int, from first: UInt64) -> UInt64 {
        var number = first
        while home(of: EngineBench.key(number)).shard != ShardIndex(UInt8(shard)) { number += 1 }
        return number
    }
}
