// The client's core over simulated queue pairs: whatever becomes of them, requests end once, in
// time and with the truth, memory is left alone afterwards, and RDMA comes back by itself.

import Testing
import Wire

@testable import Client

@Suite struct QueuePairCoreTests {
    private let everything = Faults(
        cutsToServer: 200, cutsToClient: 200, busy: 50, shuttingDown: 20, unknown: 30,
        damaged: 50, silent: 10, longestAnswerMicroseconds: 20_000, refusedOpenings: 50,
        refusedQueuePairs: 200, cutQueuePairs: 300)

    private func world(
        seed: UInt64, _ transport: TransportChoice, faults: Faults = Faults(),
        behaviour: Behaviour = Behaviour(), connections: Int = 1
    ) -> ClientWorld {
        let world = ClientWorld(
            seed: seed, faults: faults, behaviour: behaviour, connections: connections
        ) {
            $0.transport = transport
            $0.rejoining = Backoff(firstMicroseconds: 2000, capMicroseconds: 50_000)
        }
        for server in world.network.states { server.refusesQueuePairs = nil }
        return world
    }

    @Test(arguments: 1...24)
    func everyRequestEndsOnceInTimeAndWithTheTruth(seed: UInt64) {
        let behaviour = Behaviour(
            requestsInFlight: 8, batchLimit: 16, valueLimitBytes: 64 << 10,
            payloadLimitBytes: 96 << 10)
        let world = world(
            seed: seed, seed % 2 == 0 ? .auto : .rdma, faults: seed % 4 < 2 ? Faults() : everything,
            behaviour: behaviour, connections: Int(seed % 3) + 1)
        world.plan(over: 1_000_000)
        world.load(requests: 250, over: 1_000_000)
        let problems = world.judge()
        #expect(problems.isEmpty, "seed \(seed): \(problems.prefix(5))")
        #expect(world.count(of: .ok) > 100)
        #expect(world.network.states.map(\.remoteCount).reduce(0, +) > 50)
    }

    @Test func theSameSeedIsTheSameRun() {
        func run() -> [String] {
            let world = world(seed: 77, .auto, faults: everything)
            world.plan(over: 300_000)
            world.load(requests: 100, over: 300_000)
            return world.order.map { tag in
                let submitted = world.requests[tag]
                return "\(submitted?.endedAt ?? 0) \(String(describing: submitted?.outcome))"
            }
        }
        #expect(run() == run())
    }

    // MARK: There and back

    /// Stores a block on server 0 and fetches it; the milliseconds that took.
    @discardableResult
    private func putAndGet(_ world: ClientWorld, bytes: Int = 5000) -> UInt64 {
        let begun = world.network.now
        let key = world.newKey(on: 0)
        let value = pattern(bytes, seed: 5)
        let put = PutItem(key: key, value: OwnedBytes(value).source)
        world.submit(.put(put), within: 1_000_000, values: [value])
        world.finish()
        let memory = OwnedBytes(count: bytes)
        let get = GetItem(key: key, destination: memory.destination)
        world.submit(.get(get), within: 1_000_000, memories: [memory])
        world.finish()
        #expect(world.order.suffix(2).allSatisfy { world.requests[$0]?.outcome?.status == .ok })
        #expect(memory.copy(count: bytes) == value)
        return (world.network.now - begun) / 1_000_000
    }

    private let server = ServerNumber(0)

    /// Runs until requests to server 0 travel by a queue pair.
    private func awaitQueuePair(_ world: ClientWorld) {
        world.run { world.core.isRemote(server) }
    }

    @Test func requestsBeginByTCPAndGoOnByAQueuePair() {
        let world = world(seed: 1, .auto)
        putAndGet(world)
        awaitQueuePair(world)
        let before = world.network.states[0].remoteCount
        putAndGet(world)
        #expect(world.network.states[0].remoteCount == before + 2)
        #expect(world.judge().isEmpty, "\(world.problems)")
    }

    @Test func aQueuePairThatFailsInTheMiddleCostsNoRead() {
        let world = world(seed: 2, .auto)
        let key = world.newKey(on: 0)
        let value = pattern(3000, seed: 6)
        world.network.states[0].table[key] = .init(value: value, version: 1)
        world.network.states[0].applied[key] = [value: 1]
        putAndGet(world)
        awaitQueuePair(world)
        for _ in 0..<4 {
            let memory = OwnedBytes(count: 4000)
            world.submit(
                .get(GetItem(key: key, destination: memory.destination)), within: 100_000,
                memories: [memory])
        }
        // They are under way by then.
        world.run { world.network.states[0].remoteCount >= 4 }
        for pair in world.network.pairs { pair.cut() }
        let byQueuePair = world.network.states[0].remoteCount
        world.finish()
        #expect(world.order.allSatisfy { world.requests[$0]?.outcome?.status == .ok })
        #expect(world.network.states[0].remoteCount == byQueuePair, "fell back to TCP at once")
        awaitQueuePair(world)
        putAndGet(world)
        #expect(world.network.states[0].remoteCount >= byQueuePair + 2, "and came back")
        #expect(world.judge().isEmpty, "\(world.problems)")
    }

    @Test func aServerThatGetsRDMALaterIsFoundByItself() {
        let world = world(seed: 3, .auto)
        let state = world.network.states[0]
        state.refusesQueuePairs = (.unavailable, "no device")
        for _ in 0..<20 {
            putAndGet(world)
            world.run(microseconds: 10_000)
        }
        #expect(state.remoteCount == 0)
        // One for TCP; the others are attempts, with pauses between them.
        #expect((3..<40).contains(state.openingCount), "\(state.openingCount) openings")
        state.refusesQueuePairs = nil
        awaitQueuePair(world)
        putAndGet(world)
        #expect(state.remoteCount >= 2)
    }

    @Test func aClosedClientWantsNoStepForAQueuePairThatFailed() {
        let world = world(seed: 9, .auto)
        world.network.states[0].refusesQueuePairs = (.unavailable, "no device")
        putAndGet(world)
        world.run(microseconds: 10_000)
        #expect(world.core.nextWake != .never, "the next attempt comes")
        world.core.close()
        #expect(world.core.nextWake == .never)
    }

    @Test func aMachineThatGetsADeviceLaterUsesIt() {
        let world = world(seed: 4, .auto)
        world.network.hasNoDevice = "no RDMA device"
        putAndGet(world)
        world.run(microseconds: 100_000)
        #expect(world.network.states[0].openingCount == 1, "nobody is asked in vain")
        world.network.hasNoDevice = nil
        awaitQueuePair(world)
    }

    @Test func memoryThatCantBeRegisteredTravelsByTCP() {
        let world = world(seed: 5, .auto)
        putAndGet(world)
        awaitQueuePair(world)
        world.network.refusesMemory = true
        for _ in 0..<3 {
            putAndGet(world)
            awaitQueuePair(world)
        }
        #expect(world.judge().isEmpty, "\(world.problems)")
    }

    // MARK: Strictness

    private func strictAnswer(_ change: (ClientWorld) -> Void) -> (OutcomeStatus?, ConnectError?) {
        let world = world(seed: 6, .rdma)
        change(world)
        let begun = world.network.now
        // Whoever would wait for a server doesn't wait for what won't change.
        world.submit(
            .exists([world.newKey(on: 0)]), within: 10_000_000,
            policy: RequestPolicy(downServer: .waitUntilDeadline))
        world.finish()
        #expect(world.network.now - begun < 1_000_000_000, "answered at once")
        let outcome = world.requests[world.order[0]]?.outcome
        return (outcome?.item(at: 0).status, world.core.problem(of: server))
    }

    @Test func withRDMAAloneAServerWithoutSaysWhy() {
        let (status, problem) = strictAnswer {
            $0.network.states[0].refusesQueuePairs = (.unsupported, "rdma isn't configured")
        }
        #expect(status == .serverUnavailable)
        #expect(
            problem == .session(.queuePairRefused(.unsupported, "rdma isn't configured")))
    }

    @Test func withRDMAAloneAMachineWithoutSaysWhy() {
        let (status, problem) = strictAnswer { $0.network.hasNoDevice = "no device rxe7" }
        #expect(status == .serverUnavailable)
        #expect(problem == .noDevice("no device rxe7"))
    }

    @Test func withRDMAAloneNothingTravelsByTCP() {
        let world = world(seed: 7, .rdma)
        for _ in 0..<5 { putAndGet(world) }
        #expect(world.network.states[0].remoteCount >= 10)
        for pair in world.network.pairs { pair.cut() }
        putAndGet(world)
        #expect(world.network.states[0].requestCount < 40)
        #expect(world.judge().isEmpty, "\(world.problems)")
    }

    // MARK: Late writes

    /// A read that isn't answered ends by its deadline; the value that comes later must not reach
    /// memory that is the caller's again.
    @Test(arguments: 1...20)
    func memoryIsLeftAloneAfterTheDeadline(seed: UInt64) {
        let world = world(seed: seed, .rdma)
        putAndGet(world)
        let key = world.newKey(on: 0)
        let value = pattern(3000, seed: seed)
        world.network.states[0].table[key] = .init(value: value, version: 1)
        world.network.states[0].applied[key] = [value: 1]
        world.network.faults.silent = 1000
        let memory = OwnedBytes(count: 4000)
        world.submit(
            .get(GetItem(key: key, destination: memory.destination)), within: 20_000,
            memories: [memory])
        world.finish()
        #expect(world.requests[world.order[2]]?.outcome?.status == .ended(.deadlineExceeded))
        #expect(world.network.pairs.allSatisfy { !$0.isAlive || $0.opening != .open })
        world.network.faults.silent = 0
        world.network.advance(to: world.network.time.advanced(byMicroseconds: 1_000_000))
        #expect(memory.copy(count: 4000) == [UInt8](repeating: 0, count: 4000))
        #expect(world.judge().isEmpty, "\(world.problems)")
    }

    // MARK: Lengths

    @Test func aValueLongerThanItsMemoryIsToldWithItsLength() {
        let world = world(seed: 8, .rdma)
        let (long, short) = (world.newKey(on: 0), world.newKey(on: 0))
        for (key, count) in [(long, 5000), (short, 10)] {
            world.network.states[0].table[key] = .init(
                value: pattern(count, seed: 9), version: 1)
            world.network.states[0].applied[key] = [pattern(count, seed: 9): 1]
        }
        let memories = (0..<4).map { _ in OwnedBytes(count: 4096) }
        func get(_ key: BlockKey, _ index: Int) -> GetItem {
            GetItem(key: key, destination: memories[index].destination)
        }
        world.submit(.get(get(long, 0)), within: 100_000, memories: [memories[0]])
        world.submit(
            .getBatch([get(long, 1), get(short, 2), get(world.newKey(on: 0), 3)]),
            within: 100_000, memories: Array(memories[1...]))
        world.finish()
        let single = world.requests[world.order[0]]?.outcome
        #expect(single?.status == .bufferTooSmall(neededBytes: 5000))
        #expect(
            world.requests[world.order[1]]?.outcome?.items == [
                ItemOutcome(status: .bufferTooSmall(neededBytes: 5000)),
                ItemOutcome(status: .ok, valueBytes: 10),
                ItemOutcome(status: .ended(.notFound)),
            ])
    }

    /// Batches are cut to the queue pair's messages, whatever the session would allow.
    @Test func longBatchesAreCutToTheMessageLimit() {
        let world = world(seed: 9, .rdma)
        let values = (0..<100).map { pattern(8 + $0, seed: UInt64($0)) }
        let keys = values.map { _ in world.newKey(on: 0) }
        world.submit(
            .putBatch(
                zip(keys, values).map { PutItem(key: $0, value: OwnedBytes($1).source) }),
            within: 1_000_000, values: values)
        world.finish()
        let memories = keys.map { _ in OwnedBytes(count: 200) }
        world.submit(
            .getBatch(
                zip(keys, memories).map { GetItem(key: $0, destination: $1.destination) }),
            within: 1_000_000, memories: memories)
        world.finish()
        #expect(world.count(of: .ok) == 200)
        for (memory, value) in zip(memories, values) {
            #expect(memory.copy(count: value.count) == value)
        }
        #expect(world.judge().isEmpty, "\(world.problems)")
    }
}
