// One of four drives is dead, a hundred times as slow, or stalled: what the other three do
// meanwhile, in virtual time, compared with what they did before.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct DriveIsolationTests {
    enum Illness: CaseIterable, Sendable { case dead, slow, stalledFlush, hung }

    /// What the drives 1 to 3 did: requests answered `ok`, and the 99th percentile of their
    /// latencies in microseconds.
    private struct Figures {
        var answered = 0
        var latencies: [UInt64] = []
        var p99: UInt64 { latencies.sorted()[latencies.count * 99 / 100] }
    }

    /// Four puts or gets every four milliseconds, whatever becomes of those before, each of a key
    /// of any drive: clients don't aim, so several at once for one drive are nothing unusual. The
    /// same drives in the same order for each load.
    private func load(
        _ bench: EngineBench, milliseconds: UInt64, from first: UInt64
    ) throws -> Figures {
        var figures = Figures()
        var open: [(number: RequestNumber, isOthers: Bool, sent: Instant)] = []
        let numbers = (0..<4).map { bench.numbers(on: $0, count: 16) }
        var random = RandomStream(seed: 7, name: "whom they ask")
        for turn in 0..<milliseconds / 4 {
            for place in 0..<4 as Range<UInt64> {
                let drive = Int(random.below(4))
                let number = numbers[drive][Int((first + turn * 4 + place) % 16)]
                let key = EngineBench.key(number)
                let order =
                    turn % 2 == 0
                    ? RequestOrder(.tcpPut, key, payload: EngineBench.value(number, 4096))
                    : RequestOrder(.tcpGet, key)
                if let sent = bench.transport.send(order) {
                    open.append((sent, drive != 0, bench.world.now))
                }
            }
            try bench.pass(milliseconds: 4)
            open.removeAll { entry in
                guard let reply = bench.reply(to: entry.number) else { return false }
                if entry.isOthers, reply.status == .ok {
                    figures.answered += 1
                    figures.latencies.append(reply.at.microseconds(since: entry.sent))
                }
                return true
            }
            _ = bench.takeReplies()
        }
        return figures
    }

    @Test(arguments: Illness.allCases)
    func theOthersAnswerAsManyAndAsSoon(illness: Illness) throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        for drive in 0..<4 {
            for number in bench.numbers(on: drive, count: 16) {
                #expect(try bench.put(EngineBench.key(number), number: number, count: 4096) == .ok)
            }
        }
        let before = try load(bench, milliseconds: 4000, from: 0)
        switch illness {
        case .dead:
            var faults = DriveFaults()
            faults.goneFromOperation = 0
            bench.device.setFaults(faults, of: DriveIndex(0))
        case .slow: bench.slow(0, by: 100)
        case .stalledFlush: bench.stall([.flush], on: 0, seconds: 30)
        case .hung: bench.stall(DeviceAction.allCases, on: 0, seconds: 30)
        }
        let during = try load(bench, milliseconds: 4000, from: 1)
        print(
            "\(illness): \(before.answered) answered, p99 \(before.p99) µs; then "
                + "\(during.answered), p99 \(during.p99) µs; drive 0 \(bench.condition(0).word)")
        #expect(before.answered >= 2900)
        #expect(during.answered * 100 >= before.answered * 95)
        #expect(during.p99 * 10 <= before.p99 * 12)
    }
}
