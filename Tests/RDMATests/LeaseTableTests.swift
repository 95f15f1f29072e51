// The state machine of leases, by itself: no device is needed.

#if Verbs

import Engine
import Testing
import Wire

@testable import QueuePairs

@Suite struct LeaseTableTests {
    private static func instant(_ number: UInt64) -> Instant { Instant(nanoseconds: number) }
    private static let key = BlockKey.lowest

    @Test func aLeaseGoesThroughItsStatesOnce() {
        var table = LeaseTable(pairs: 2, leasesPerPair: 2)
        guard let place = table.take(1, use: .write(Self.key), lengthBytes: 9, row: 7) else {
            Issue.record("no place in an empty table")
            return
        }
        let id = table.id(of: place)
        #expect(id != 0)
        #expect(table.find(id, of: 1) == nil, "granted to nobody yet")
        #expect(table.exposed(place, until: Self.instant(100)) == 7)
        #expect(table.find(id, of: 1) == place)
        #expect(table.find(id, of: 0) == nil, "another queue pair's")
        #expect(table.expired(of: 1, now: Self.instant(99)) == nil)
        #expect(table.expired(of: 1, now: Self.instant(100)) == place)
        table.end(place, by: .commit(row: 8))
        #expect(table.find(id, of: 1) == nil, "of two Commits one finds none")
        #expect(table.expired(of: 1, now: .never) == nil, "nor does it expire meanwhile")
        #expect(table.held(by: 1) == 1)
        #expect(table.revoked(place) == .commit(row: 8))
        #expect(table.held(by: 1) == 0)
        let next = table.take(1, use: .read(checksum: 1), lengthBytes: 9, row: 7)
        #expect(next == place)
        #expect(table.exposed(place, until: .never) == 7)
        #expect(table.find(id, of: 1) == nil, "an id names one lease for ever")
    }

    @Test func aQueuePairHasSoMany() {
        var table = LeaseTable(pairs: 2, leasesPerPair: 2)
        let first = table.take(0, use: .write(Self.key), lengthBytes: 1, row: 0)
        let second = table.take(0, use: .write(Self.key), lengthBytes: 1, row: 1)
        let third = table.take(0, use: .write(Self.key), lengthBytes: 1, row: 2)
        let others = table.take(1, use: .write(Self.key), lengthBytes: 1, row: 2)
        #expect(first != nil && second != nil && first != second)
        #expect(third == nil)
        #expect(others != nil)
        #expect(table.refused(first ?? 0) == 0)
        #expect(table.held(by: 0) == 1)
    }

    @Test func idsThatAreNoneFindNothing() {
        var table = LeaseTable(pairs: 1, leasesPerPair: 2)
        guard let place = table.take(0, use: .write(Self.key), lengthBytes: 1, row: 0) else {
            return
        }
        _ = table.exposed(place, until: .never)
        let id = table.id(of: place)
        for wrong in [0, 1, 2, 3, id &+ 1, id ^ (1 << 32), id ^ (1 << 63), .max] {
            #expect(table.find(wrong, of: 0) == nil, "\(wrong)")
        }
    }

    /// Random events against a model: what isn't free is forgotten once, and nothing else changes.
    @Test func randomEventsKeepTheTableWhole() {
        let seed: UInt64 = 20_261_123
        var generator = SplitMix(state: seed)
        var table = LeaseTable(pairs: 3, leasesPerPair: 4)
        var model = [String](repeating: "free", count: table.count)
        for step in 0..<20_000 {
            let place = Int(generator.next() % UInt64(table.count))
            switch (generator.next() % 4, model[place]) {
            case (0, "free"):
                let pair = table.pair(of: place)
                let expected = table.places(of: pair).first { model[$0] == "free" }
                let got = table.take(pair, use: .write(Self.key), lengthBytes: 1, row: step)
                #expect(got == expected, "seed \(seed), step \(step)")
                if let got { model[got] = "granting" }
            case (0, "granting"):
                _ = table.exposed(place, until: Self.instant(UInt64(step)))
                model[place] = "granted"
            case (1, "granting"):
                _ = table.refused(place)
                model[place] = "free"
            case (0...1, "granted"):
                table.end(place, by: .expiry)
                model[place] = "revoking"
            case (0...1, "revoking"):
                #expect(table.revoked(place) == .expiry)
                model[place] = "free"
            case (3, let state):
                #expect(table.forget(place) == (state != "free"), "seed \(seed), step \(step)")
                model[place] = "free"
            default: break
            }
            let pair = table.pair(of: place)
            #expect(
                table.held(by: pair) == table.places(of: pair).count { model[$0] != "free" },
                "seed \(seed), step \(step)")
            #expect(
                (table.find(table.id(of: place), of: pair) == place) == (model[place] == "granted"))
        }
    }
}

/// SplitMix64 (Steele et al., OOPSLA 2014).
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return BlockKey.finalize(state)
    }
}

#endif
