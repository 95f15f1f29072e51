// WorkloadClient: the real client's core, kept busy: requests drawn from the seed, each begun and
// ended in the judge's book. The next one comes when one has ended (a closed loop), or by itself,
// whatever became of those before it (an open loop): then its time is counted from when it came,
// though it had to wait for a slot.
//
// Always holds: a slot has one request at a time, with memory of its own; what a request finds is
// judged when its outcome is taken; a client that has died takes its requests with it, and nobody
// knows what became of its changes.

internal import Client
internal import Engine
internal import Judgement
internal import Sim
internal import Wire

/// What a slot is doing.
enum WorkloadOperation: UInt64, CaseIterable {
    case put = 1, get, delete, exists, stat, putBatch, getBatch, deleteBatch
}

extension WorkloadOperation {
    /// The same of one key.
    var ofOne: WorkloadOperation {
        switch self {
        case .putBatch: .put
        case .getBatch: .get
        case .deleteBatch: .delete
        default: self
        }
    }
}

/// One key of a request.
struct WorkloadItem {
    let key: Int
    /// Of a change.
    var request: UInt64 = 0
    /// Of a read.
    var begun = Tick(0)
    /// What a put puts.
    var name: ValueName?
}

/// One request under way.
struct WorkloadSlot {
    var operation: WorkloadOperation?
    var items: [WorkloadItem] = []
    var began = Instant.never
    var deadline = Instant.never
    let memory: OwnedBytes
}

final class WorkloadClient {
    enum Stage { case idle, working, stopping, readingBack, puttingNew, dead }

    let index: Int
    let plan: ClientPlan
    private unowned let world: World
    private var core: ClientCore<ClientPort>
    /// In the core's stead, where it moves its values by itself.
    private var leases: Leaseholder?
    private var random: RandomStream
    private let seed: UInt64
    private let zipf: ZipfTable?
    private var slots: [WorkloadSlot]
    private var freeSlots: [Int]
    private var slotOfTag: [UInt64: Int] = [:]
    private(set) var stage = Stage.idle
    /// Keys that the read-back, or the new blocks, still have to visit.
    private var toVisit: [Int] = []
    /// Keys of a prefix that have to be asked for and put, in this order.
    private var chain: [Int] = []
    private var pausedSlots = 0
    private var incarnation: UInt64 = 0
    private var arrivals: RandomStream
    /// When the requests came that wait for a slot.
    private var comers: [Instant] = []
    private var isOpenLoop: Bool { plan.arrivalsPerSecond > 0 }
    var isWoken = true
    private(set) var nextWake = Instant.never

    init(_ index: Int, plan: ClientPlan, world: World, seed: UInt64) {
        self.index = index
        self.plan = plan
        self.world = world
        self.seed = seed &+ UInt64(index) << 40
        random = RandomStream(seed: self.seed, name: "client")
        arrivals = RandomStream(seed: self.seed, name: "arrivals")
        zipf = plan.skew == .zipf ? ZipfTable(count: plan.keys.count) : nil
        let bytes = Int(plan.valueBytes.to) * Int(plan.batchItems.to)
        slots = (0..<plan.inFlight).map { _ in WorkloadSlot(memory: OwnedBytes(count: bytes)) }
        freeSlots = Array((0..<plan.inFlight).reversed())
        core = Self.core(index, plan, world, seed: self.seed)
        if plan.transport == .leases {
            leases = Leaseholder(client: index, world: world, seed: self.seed)
        }
    }

    private static func core(
        _ index: Int, _ plan: ClientPlan, _ world: World, seed: UInt64
    ) -> ClientCore<ClientPort> {
        var configuration = ClientConfiguration(
            servers: [ServerAddress(host: "server", port: 9900)], seed: seed)
        configuration.connectionsPerServer = plan.connections
        configuration.requestCapacity = plan.inFlight
        configuration.transport = TransportChoice(rawValue: plan.transport.rawValue) ?? .tcp
        configuration.rejoining = Backoff(firstMicroseconds: 2000, capMicroseconds: 50_000)
        configuration.connectMicroseconds = 500_000
        configuration.silenceMicroseconds = 200_000
        configuration.reconnecting = Backoff(firstMicroseconds: 2000, capMicroseconds: 100_000)
        configuration.refused = Backoff(firstMicroseconds: 1000, capMicroseconds: 50_000)
        #if PLANTED_BUGS
        configuration.plantedBug = world.scenario.store.plantedBug.flatMap {
            PlantedClientBug(rawValue: $0)
        }
        #endif
        configuration.key = world.server.plan.keys.first?.key
        return ClientCore(
            configuration, transport: ClientPort(client: index, network: world.network))
    }

    private var time: MonotonicTime { MonotonicTime(nanoseconds: world.now.nanoseconds) }

    /// Nothing is under way.
    var isIdle: Bool {
        slotOfTag.isEmpty && toVisit.isEmpty && (stage != .working)
    }

    var underWay: Int { slotOfTag.count }

    // MARK: Stages

    func begin() {
        stage = .working
        isWoken = true
        if isOpenLoop { scheduleRequest() }
    }

    private func scheduleRequest() {
        let mean = 1_000_000 / plan.arrivalsPerSecond
        world.schedule(.request(index), after: arrivals.below(2 * mean + 1))
    }

    /// Its time has come, whoever still waits.
    func requestCame() {
        guard stage == .working || stage == .dead else { return }
        scheduleRequest()
        guard stage == .working else { return }
        comers.append(world.now)
        isWoken = true
    }

    func stop() {
        if stage == .dead { revive() }
        stage = .stopping
        comers = []
        isWoken = true
    }

    /// Reads every key that is this client's to read.
    func readBack() {
        stage = .readingBack
        toVisit = visited()
        isWoken = true
    }

    /// Deletes some of them, puts a new value under each, and reads it.
    func putNew() {
        stage = .puttingNew
        toVisit = Array(visited().prefix(8))
        isWoken = true
    }

    /// Every so-manieth key, so that all clients together visit all.
    private func visited() -> [Int] {
        let peers = world.clients.filter { $0.plan.keys == plan.keys }
        let place = peers.firstIndex { $0 === self } ?? 0
        return plan.keys.filter { $0 % peers.count == place }.reversed()
    }

    func close() {
        core.close()
        leases?.close()
        stage = .idle
    }

    /// The process ends, with everything it had under way.
    func die() {
        guard stage == .working else { return }
        core.close()
        while let outcome = core.nextOutcome() { _ = outcome }
        if let leases {
            if leases.isFatallyWriting {
                world.remoteCounts.deathsInWrites += 1
                leases.die()
            } else {
                leases.close()
            }
        }
        for place in slots.indices where slots[place].operation != nil {
            world.judge.abandon(slots[place])
            slots[place].operation = nil
        }
        slotOfTag = [:]
        freeSlots = Array(slots.indices.reversed())
        chain = []
        comers = []
        stage = .dead
        nextWake = .never
    }

    func revive() {
        guard stage == .dead else { return }
        incarnation += 1
        core = Self.core(index, plan, world, seed: seed &+ incarnation << 8)
        if leases != nil {
            leases = Leaseholder(
                client: index, world: world, seed: seed &+ incarnation << 8)
        }
        stage = .working
        isWoken = true
    }

    // MARK: Turns

    func wantsStep(now: Instant) -> Bool { stage != .dead && (isWoken || nextWake <= now) }

    /// A slot's pause is over.
    func resume() {
        pausedSlots = max(0, pausedSlots - 1)
        isWoken = true
    }

    func step() {
        isWoken = false
        fill()
        while true {
            let moved = leases?.step() ?? core.step(now: time)
            var ended = false
            while let outcome = nextOutcome() {
                take(outcome)
                ended = true
            }
            if ended { fill() }
            if !moved && !ended { break }
        }
        if let leases {
            nextWake = leases.nextWake
            if leases.isFatallyWriting { die() }
            return
        }
        let wake = core.nextWake
        nextWake = wake == .never ? .never : Instant(nanoseconds: wake.nanoseconds)
    }

    private func nextOutcome() -> RequestOutcome? {
        if let leases { return leases.nextOutcome() }
        return core.nextOutcome()
    }

    // MARK: What a leaseholder may be told to do wrong

    /// Late writes of a hundred chances.
    func writeLate(percent: UInt64) { leases?.lateWritePercent = percent }

    /// It dies as soon as writes of its own are under way.
    func doom(_ isDoomed: Bool) { leases?.isDoomed = isDoomed }

    /// Begins as many requests as there are slots for.
    private func fill() {
        let isComing = isOpenLoop && stage == .working
        while freeSlots.count > pausedSlots, let place = freeSlots.last,
            !isComing || !comers.isEmpty, let next = nextOperation()
        {
            freeSlots.removeLast()
            let came = isComing ? comers.removeFirst() : world.now
            begin(next.0, next.1, in: place, came: came)
        }
    }

    private func nextOperation() -> (WorkloadOperation, [Int])? {
        switch stage {
        case .idle, .stopping, .dead: return nil
        case .readingBack: return toVisit.popLast().map { (.get, [$0]) }
        case .puttingNew: return toVisit.popLast().map { (.delete, [$0]) }
        case .working: return drawOperation()
        }
    }

    private func drawOperation() -> (WorkloadOperation, [Int]) {
        if let key = chain.popLast() { return (.put, [key]) }
        let mix = plan.mix
        var word = random.below(mix.total)
        let shares: [(UInt64, WorkloadOperation)] = [
            (mix.put, .put), (mix.get, .get), (mix.delete, .delete), (mix.exists, .exists),
            (mix.stat, .stat), (mix.putBatch, .putBatch), (mix.getBatch, .getBatch),
            (mix.deleteBatch, .deleteBatch),
        ]
        for (share, operation) in shares {
            if word < share {
                let possible = leases == nil ? operation : operation.ofOne
                return (possible, drawKeys(for: possible))
            }
            word -= share
        }
        return (.getBatch, drawChain())
    }

    private func drawKey() -> Int {
        let place = zipf?.draw(from: &random) ?? Int(random.below(UInt64(plan.keys.count)))
        return plan.keys.lowerBound + place
    }

    private func drawKeys(for operation: WorkloadOperation) -> [Int] {
        let first = drawKey()
        switch operation {
        case .put, .get, .delete, .stat: return [first]
        case .exists, .putBatch, .getBatch, .deleteBatch: return drawKeys(beside: first)
        }
    }

    /// Different keys of one namespace.
    private func drawKeys(beside first: Int) -> [Int] {
        var keys = [first]
        let namespace = world.judge.key(first).namespace
        for _ in 1..<max(2, plan.batchItems.draw(from: &random)) {
            let key = drawKey()
            if world.judge.key(key).namespace == namespace, !keys.contains(key) { keys.append(key) }
        }
        return keys
    }

    /// A prompt's blocks: keys one after the other.
    private func drawChain() -> [Int] {
        let first = drawKey()
        let namespace = world.judge.key(first).namespace
        let count = Int(plan.batchItems.draw(from: &random))
        return (first..<min(first + count, plan.keys.upperBound)).filter {
            world.judge.key($0).namespace == namespace
        }
    }

    // MARK: Requests

    private func begin(
        _ operation: WorkloadOperation, _ keys: [Int], in place: Int, came: Instant
    ) {
        slots[place].operation = operation
        slots[place].began = came
        let patience =
            stage == .working
            ? plan.deadlineMicroseconds.draw(from: &random) : Judge.patientMicroseconds
        slots[place].deadline = world.now.advanced(byMicroseconds: patience)
        let (request, items, checksums) = prepare(operation, keys, slots[place].memory)
        slots[place].items = items
        if let leases {
            let tag = leases.submit(
                request, checksums: checksums, deadline: slots[place].deadline)
            slotOfTag[tag.rawValue] = place
            world.judge.requestBegan()
            return
        }
        do throws(SubmitError) {
            let tag = try core.submit(
                request, checksums: checksums,
                deadline: time.advanced(byMicroseconds: patience),
                policy: RequestPolicy(
                    downServer: stage == .working ? .answerAtOnce : .waitUntilDeadline),
                now: time)
            slotOfTag[tag.rawValue] = place
            world.judge.requestBegan()
        } catch {
            preconditionFailure("the workload's request isn't taken: \(error)")
        }
    }

    private func prepare(
        _ operation: WorkloadOperation, _ keys: [Int], _ memory: OwnedBytes
    ) -> (ClientRequest, [WorkloadItem], [UInt64]) {
        var items: [WorkloadItem] = []
        var checksums: [UInt64] = []
        var puts: [PutItem] = []
        var gets: [GetItem] = []
        let limit = Int(plan.valueBytes.to)
        let names = keys.map { world.judge.key($0) }
        for (position, key) in keys.enumerated() {
            switch operation {
            case .put, .putBatch:
                let length = plan.valueBytes.draw(from: &random)
                let (item, value, checksum) = world.judge.beginPut(
                    key, lengthBytes: UInt32(length), memory, at: position * limit)
                items.append(item)
                checksums.append(checksum)
                puts.append(PutItem(key: names[position], value: value))
            case .delete, .deleteBatch: items.append(world.judge.beginDelete(key))
            case .get, .getBatch, .exists, .stat: items.append(world.judge.beginRead(key))
            }
            if operation == .get || operation == .getBatch {
                gets.append(
                    GetItem(
                        key: names[position],
                        destination: memory.destination.slice(
                            from: position * limit, count: limit)))
            }
        }
        let request: ClientRequest =
            switch operation {
            case .put: .put(puts[0])
            case .get: .get(gets[0])
            case .delete: .delete(names[0])
            case .stat: .stat(names[0])
            case .exists: .exists(names)
            case .putBatch: .putBatch(puts)
            case .getBatch: .getBatch(gets)
            case .deleteBatch: .deleteBatch(names)
            }
        return (request, items, checksums)
    }

    /// On a queue pair no byte changes on its way, unless the client changes it itself.
    private func judgePayload(_ operation: WorkloadOperation, _ outcome: RequestOutcome) {
        guard plan.transport != .tcp, operation == .put,
            outcome.status == .ended(.checksumMismatch),
            !world.scenario.faults.contains(where: { $0.name == .lateRemoteWrites })
        else { return }
        world.judge.fail(
            Violation(.responseChecksumWrong, "a put's bytes came without their checksum"))
    }

    private func take(_ outcome: RequestOutcome) {
        guard let place = slotOfTag.removeValue(forKey: outcome.tag.rawValue),
            let operation = slots[place].operation
        else {
            world.judge.fail(Violation(.answeredTwice, "an outcome of nobody's request"))
            return
        }
        slots[place].operation = nil
        freeSlots.append(place)
        judgePayload(operation, outcome)
        let misses = world.judge.end(
            operation, slots[place], outcome, strideBytes: Int(plan.valueBytes.to))
        if plan.mix.prefix > 0, operation == .getBatch, stage == .working {
            chain.append(contentsOf: misses.reversed())
        }
        if stage == .puttingNew, operation != .get, let key = slots[place].items.first?.key {
            freeSlots.removeLast()
            begin(operation == .delete ? .put : .get, [key], in: place, came: world.now)
        }
        if isOpenLoop, stage == .working { return }
        var pause = stage == .working ? plan.thinkMicroseconds.draw(from: &random) : 0
        // Who is turned away at once doesn't come back at once.
        if !OutcomeNames.isResult(outcome.item(at: 0).status) { pause = max(pause, 1000) }
        if pause > 0 {
            pausedSlots += 1
            world.schedule(.client(index), after: pause)
        }
    }
}
