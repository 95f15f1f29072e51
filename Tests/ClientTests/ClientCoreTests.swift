// ClientCore in the simulated network: whatever the servers and connections do, each request ends
// once, in time, and what is told of it is true.

import Testing
import Wire

@testable import Client

@Suite struct ClientCoreTests {
    private let everything = Faults(
        cutsToServer: 300, cutsToClient: 300, busy: 50, shuttingDown: 20, unknown: 30,
        damaged: 50, silent: 10, answeredTwice: 3, longestAnswerMicroseconds: 20_000,
        refusedOpenings: 100)

    @Test(arguments: 1...24)
    func everyRequestEndsOnceInTimeAndWithTheTruth(seed: UInt64) {
        var behaviour = Behaviour(
            requestsInFlight: 8, batchLimit: 16, valueLimitBytes: 64 << 10,
            payloadLimitBytes: 96 << 10)
        if seed % 2 == 0 { behaviour.padsBatches = true }
        let world = ClientWorld(
            seed: seed, faults: seed % 4 == 0 ? Faults() : everything, behaviour: behaviour,
            connections: Int(seed % 3) + 1)
        world.plan(over: 1_000_000)
        world.load(requests: 250, over: 1_000_000)
        let problems = world.judge()
        #expect(problems.isEmpty, "seed \(seed): \(problems.prefix(5))")
        #expect(world.order.count > 150)
        #expect(world.count(of: .ok) > 100 && world.count(of: .serverUnavailable) > 50)
    }

    @Test func theSameSeedIsTheSameRun() {
        func run() -> [String] {
            let world = ClientWorld(seed: 99, faults: everything)
            world.plan(over: 300_000)
            world.load(requests: 100, over: 300_000)
            return world.order.map { tag in
                let submitted = world.requests[tag]
                return
                    "\(tag.rawValue) \(submitted?.endedAt ?? 0) \(String(describing: submitted?.outcome))"
            }
        }
        #expect(run() == run())
    }

    /// A put, its connection cut after each number of bytes in turn, in both directions.
    @Test func aCutAtEveryByteIsToldAsItIs() {
        let value = pattern(40, seed: 1)
        var told: [OutcomeStatus: Int] = [:]
        for toServer in [true, false] {
            for cut in 1...220 {
                let world = ClientWorld(seed: UInt64(cut), connections: 1)
                let key = world.newKey(on: 0)
                let item = PutItem(key: key, value: OwnedBytes(value).source)
                world.submit(
                    .put(item), within: 100_000,
                    policy: RequestPolicy(downServer: .waitUntilDeadline),
                    values: [value])
                var isFirst = true
                world.run {
                    if isFirst, let stream = world.network.streams.first {
                        isFirst = false
                        if toServer {
                            stream.bytesToServerLeft = cut
                        } else {
                            stream.bytesToClientLeft = cut
                        }
                    }
                    return world.core.unansweredCount == 0
                }
                #expect(world.judge().isEmpty, "cut \(cut): \(world.problems)")
                told[world.requests[world.order[0]]!.outcome!.status, default: 0] += 1
            }
        }
        // Connect has 72 bytes, the put 136: only behind its last one may it have been carried out.
        // Connect's answer has 104, the put's 64: until the last one nobody knows.
        #expect(told == [.ended(.outcomeUnknown): 1 + 63, .ok: 440 - 64])
    }
}
