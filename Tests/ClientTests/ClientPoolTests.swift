// The pool's rules one by one, in the simulated network: who is down, who pays for it, what comes
// back, what is cut and gathered.

import Testing
import Wire

@testable import Client

@Suite struct ClientPoolTests {
    private func status(_ world: ClientWorld, _ tag: RequestTag?) -> OutcomeStatus? {
        tag.flatMap { world.requests[$0]?.outcome?.status }
    }

    private func took(_ world: ClientWorld, _ tag: RequestTag?) -> UInt64 {
        guard let tag, let submitted = world.requests[tag] else { return .max }
        return (submitted.endedAt - submitted.submittedAt) / 1000
    }

    @Test func aDownServerCostsItsOwnKeysAndNothingElse() throws {
        let world = ClientWorld(seed: 1)
        world.network.change(1, to: .down)
        world.submit(.stat(world.newKey(on: 1)), within: 1_000_000)
        world.finish()
        let keys = (0..<300).map { _ in world.newKey() }
        for key in keys where world.core.placement.server(for: key).rawValue != 1 {
            world.server(of: key).table[key] = .init(value: [1], version: 1)
        }
        let tag = try #require(world.submit(.exists(keys), within: 1_000_000))
        world.finish()
        let items = try #require(world.requests[tag]?.outcome?.items)
        for (key, item) in zip(keys, items) {
            let isDown = world.core.placement.server(for: key).rawValue == 1
            #expect(item.status == (isDown ? .serverUnavailable : .ok))
        }
        #expect(took(world, tag) < 50_000)
        // Answered at once, without a moment of waiting.
        let again = world.submit(.stat(world.newKey(on: 1)), within: 1_000_000)
        world.run { world.core.unansweredCount == 0 }
        #expect(status(world, again) == .serverUnavailable)
        #expect(took(world, again) == 0)
    }

    @Test func aServerThatComesBackIsFoundWithoutAnybodyAsking() throws {
        let world = ClientWorld(seed: 2)
        world.network.change(0, to: .down)
        world.submit(.stat(world.newKey(on: 0)), within: 1_000_000)
        world.run(microseconds: 500_000)
        #expect(world.core.isDown(ServerNumber(0)))
        #expect(world.core.problem(of: ServerNumber(0)) == .refused)
        let attempts = world.network.states[0].openingCount
        // Pauses double up to 50 ms, jitter makes their mean half of that.
        #expect((10...60).contains(attempts), "\(attempts) attempts")
        world.network.change(0, to: .serving)
        world.run(microseconds: 60_000)
        #expect(!world.core.isDown(ServerNumber(0)))
        let tag = world.submit(.stat(world.newKey(on: 0)), within: 1_000_000)
        world.finish()
        #expect(status(world, tag) == .ended(.notFound))
    }

    @Test func whoWaitsForAServerGetsItsAnswerWhenItIsBack() throws {
        let world = ClientWorld(seed: 3)
        world.network.change(0, to: .down)
        let patient = RequestPolicy(downServer: .waitUntilDeadline)
        let waits = world.submit(.stat(world.newKey(on: 0)), within: 1_000_000, policy: patient)
        let gives = world.submit(.stat(world.newKey(on: 0)), within: 100_000, policy: patient)
        world.run(microseconds: 200_000)
        #expect(status(world, waits) == nil)
        #expect(status(world, gives) == .serverUnavailable)
        #expect(took(world, gives) == 100_000)
        world.network.change(0, to: .serving)
        world.finish()
        #expect(status(world, waits) == .ended(.notFound))
    }

    @Test(arguments: [SimulatedServer.Mode.mute, .muteAfterConnect])
    func aHalfDeadServerIsPulledOutAtTheFirstDeadline(mode: SimulatedServer.Mode) throws {
        let world = ClientWorld(seed: 4)
        let first = world.submit(.stat(world.newKey(on: 2)), within: 100_000)
        world.finish()
        #expect(status(world, first) == .ended(.notFound))
        world.network.change(2, to: mode)
        let read = world.submit(.stat(world.newKey(on: 2)), within: 60_000)
        let value = OwnedBytes(count: 5)
        let item = PutItem(key: world.newKey(on: 2), value: value.source)
        let put = world.submit(.put(item), within: 500_000)
        let other = world.submit(.stat(world.newKey(on: 1)), within: 60_000)
        world.finish()
        #expect(status(world, read) == .ended(.deadlineExceeded))
        // It had left; with its connection went the knowledge.
        #expect(status(world, put) == .ended(.outcomeUnknown))
        #expect(took(world, put) == 60_000)
        #expect(status(world, other) == .ended(.notFound))
        // It accepts connections, and even answers Connect: no request is lost to it any more.
        var unavailable = 0
        for _ in 0..<200 {
            let tag = world.submit(.stat(world.newKey(on: 2)), within: 60_000)
            world.run(microseconds: 2000)
            if status(world, tag) == .serverUnavailable { unavailable += 1 }
        }
        #expect(unavailable >= 198)
        world.network.change(2, to: .serving)
        world.run(microseconds: 200_000)
        let last = world.submit(.stat(world.newKey(on: 2)), within: 60_000)
        world.finish()
        #expect(status(world, last) == .ended(.notFound))
    }

    @Test func aConnectionThatHadAnsweredIsMadeAnewAtOnce() throws {
        let world = ClientWorld(seed: 5, connections: 1)
        let key = world.newKey(on: 0)
        world.submit(.stat(key), within: 100_000)
        world.finish()
        world.network.streams.forEach { $0.cut() }
        let tag = world.submit(.stat(key), within: 100_000)
        world.finish()
        #expect(status(world, tag) == .ended(.notFound))
        #expect(world.network.states[0].openingCount == 2)
    }

    @Test func refusalsForNowAreTriedAgain() throws {
        let world = ClientWorld(seed: 6, faults: Faults(busy: 700))
        let tags = (0..<30).map { _ in world.submit(.stat(world.newKey()), within: 2_000_000) }
        world.finish()
        for tag in tags { #expect(status(world, tag) == .ended(.notFound)) }
        world.network.faults.busy = 1000
        let put = PutItem(key: world.newKey(), value: OwnedBytes(count: 3).source)
        let refused = world.submit(.put(put), within: 200_000)
        world.finish()
        #expect(status(world, refused) == .ended(.busy))
        #expect(took(world, refused) == 200_000)
    }

    @Test func damagedValuesAreAskedForTwiceMore() throws {
        let world = ClientWorld(seed: 7, faults: Faults(damaged: 1000))
        let key = world.newKey(on: 0)
        world.network.states[0].table[key] = .init(value: [1, 2, 3], version: 1)
        let get = GetItem(key: key, destination: OwnedBytes(count: 10).destination)
        let tag = world.submit(.get(get), within: 1_000_000)
        world.finish()
        #expect(status(world, tag) == .ended(.checksumMismatch))
        // Connect, and three gets.
        #expect(world.network.states[0].requestCount == 4)
    }

    @Test func aBatchIsCutToEveryLimitAndGatheredInOrder() throws {
        let behaviour = Behaviour(
            requestsInFlight: 3, batchLimit: 4, valueLimitBytes: 9000, payloadLimitBytes: 16_000)
        let world = ClientWorld(seed: 8, behaviour: behaviour)
        let lengths = [1, 9000, 5000, 4096, 9001, 100, 8192, 3]
        let puts = (0..<80).map { index in
            let value = pattern(lengths[index % lengths.count], seed: UInt64(index))
            let name = BlockKey.sha256(of: value, namespace: Namespace(UInt32(index % 2)))
            return (item: PutItem(key: name, value: OwnedBytes(value).source), value: value)
        }
        let stored = try #require(
            world.submit(
                .putBatch(puts.map(\.item)), within: 1_000_000, values: puts.map(\.value)))
        world.finish()
        let memories = puts.map { _ in OwnedBytes(count: 9001) }
        let gets = zip(puts, memories).map { put, memory in
            GetItem(key: put.item.key, destination: memory.destination)
        }
        let fetched = try #require(
            world.submit(.getBatch(gets), within: 1_000_000, memories: memories))
        world.finish()
        let putItems = try #require(world.requests[stored]?.outcome?.items)
        let getItems = try #require(world.requests[fetched]?.outcome?.items)
        for (index, put) in puts.enumerated() {
            if put.value.count == 9001 {
                #expect(putItems[index].status == .ended(.tooLarge))
                #expect(getItems[index].status == .ended(.notFound))
            } else {
                #expect(putItems[index].status == .ok)
                #expect(getItems[index].status == .ok)
                #expect(memories[index].copy(count: Int(getItems[index].valueBytes)) == put.value)
            }
        }
        #expect(world.judge().isEmpty, "\(world.problems)")
    }

    @Test func thePoolGrowsWithItsLoadAndNoFurther() {
        let world = ClientWorld(seed: 9, connections: 3)
        let keys = (0..<60).map { _ in world.newKey(on: 0) }
        for key in keys.prefix(5) {
            world.submit(.stat(key), within: 1_000_000)
            world.finish()
        }
        #expect(world.network.states[0].openingCount == 1)
        for key in keys { world.submit(.stat(key), within: 1_000_000) }
        world.finish()
        for key in keys { world.submit(.stat(key), within: 1_000_000) }
        world.finish()
        #expect(world.network.states[0].openingCount == 3)
        #expect(world.network.states[1].openingCount == 0)
    }

    @Test func aFullTableRefusesAndAClosedClientAnswers() throws {
        let world = ClientWorld(seed: 10) { $0.requestCapacity = 2 }
        let tags = (0..<3).map { _ in world.submit(.stat(world.newKey()), within: 100_000) }
        #expect(world.problems == ["not taken: 2 requests are under way, the client's limit"])
        world.core.close()
        world.finish()
        for tag in tags.prefix(2) { #expect(status(world, tag) == .serverUnavailable) }
        #expect(world.core.unansweredCount == 0)
    }

    @Test func pausesGrowToTheCapWithFullJitter() {
        let backoff = Backoff(firstMicroseconds: 1000, capMicroseconds: 100_000)
        var generator = SeededGenerator(seed: 11)
        for failures in 1...70 {
            let bound: UInt64 = failures < 8 ? 1000 << UInt64(failures - 1) : 100_000
            let pauses = (0..<200).map { _ in
                backoff.pauseMicroseconds(failures: failures, &generator)
            }
            #expect(pauses.allSatisfy { (1...bound).contains($0) })
            let mean = pauses.reduce(0, +) / 200
            #expect(mean > bound / 3 && mean < bound * 2 / 3)
        }
    }
}
