// Streams are functions of (seed, name, incarnation); queues order by (time, sequence).

import Engine
import Sim
import Testing

@Suite struct RandomStreamTests {
    private func words(_ seed: UInt64, _ name: StaticString, _ incarnation: UInt64 = 0) -> [UInt64]
    {
        var stream = RandomStream(seed: seed, name: name, incarnation: incarnation)
        return (0..<4).map { _ in stream.next() }
    }

    @Test func aStreamDependsOnSeedNameAndIncarnation() {
        #expect(words(1, "a") == words(1, "a"))
        #expect(words(1, "a") != words(2, "a"))
        #expect(words(1, "a") != words(1, "b"))
        #expect(words(1, "a", 0) != words(1, "a", 1))
    }

    @Test func boundedDrawsStayBelowAndReachEverything() {
        var stream = RandomStream(seed: 9, name: "bounds")
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<7000 { counts[Int(stream.below(7))] += 1 }
        #expect(counts.allSatisfy { (800...1200).contains($0) })
    }

    @Test func eventsLeaveByTimeThenByEntry() {
        var queue = EventQueue()
        let times: [UInt64] = [5, 3, 5, 1, 3]
        for (index, time) in times.enumerated() {
            queue.push(UInt64(index), at: Instant(nanoseconds: time))
        }
        #expect(queue.popDue(at: Instant(nanoseconds: 0)) == nil)
        var order: [UInt64] = []
        while let event = queue.popDue(at: Instant(nanoseconds: 9)) { order.append(event) }
        #expect(order == [3, 1, 4, 0, 2])
    }
}
