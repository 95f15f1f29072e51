// WorkloadPlan: what the seed picks for the clients: how many, what they do, on which keys.

internal import Engine
internal import Sim
internal import Wire

/// One client's work.
struct ClientPlan {
    let inFlight: Int
    let connections: Int
    let skew: ClientGroup.Skew
    let valueBytes: Drawn
    let batchItems: Drawn
    let mix: OperationMix
    let deadlineMicroseconds: Drawn
    let thinkMicroseconds: Drawn
    let arrivalsPerSecond: UInt64
    let transport: ClientGroup.Transport
    /// The keys it works on, of all the run's.
    let keys: Range<Int>
}

/// The work of one run.
struct WorkloadPlan {
    let clients: [ClientPlan]
    let keys: [BlockKey]
    let valueLimitBytes: UInt64

    init(_ scenario: Scenario, seed: UInt64) {
        var random = RandomStream(seed: seed, name: "workload plan")
        var clients: [ClientPlan] = []
        var keys: [BlockKey] = []
        var valueLimit: UInt64 = 1
        for (place, group) in scenario.clients.enumerated() {
            let namespaces = group.namespaces.draw(from: &random)
            let count = group.keys.draw(from: &random)
            let first = keys.count
            for namespace in 0..<namespaces {
                // The same names in each namespace: one that leaks shows.
                for number in 0..<count {
                    keys.append(
                        Self.key(
                            seed: seed, namespace: UInt64(place) << 8 | namespace, number: number))
                }
            }
            valueLimit = max(valueLimit, group.valueBytes.to)
            for _ in 0..<group.count.draw(from: &random) {
                clients.append(
                    ClientPlan(
                        inFlight: Int(group.inFlight.draw(from: &random)),
                        connections: Int(group.connections.draw(from: &random)),
                        skew: group.skew, valueBytes: group.valueBytes,
                        batchItems: group.batchItems, mix: group.mix,
                        deadlineMicroseconds: group.deadlineMicroseconds,
                        thinkMicroseconds: group.thinkMicroseconds,
                        arrivalsPerSecond: group.arrivalsPerSecond.draw(from: &random),
                        transport: group.transport,
                        keys: first..<keys.count))
            }
        }
        self.clients = clients
        self.keys = keys
        valueLimitBytes = valueLimit
    }

    private static func key(seed: UInt64, namespace: UInt64, number: UInt64) -> BlockKey {
        let first = Mixer.mix(seed ^ 0x6B65_79 &+ number)
        let second = Mixer.mix(first)
        return BlockKey(
            namespace: Namespace(UInt32(truncatingIfNeeded: namespace)),
            words: (first, second, Mixer.mix(second), number))
    }
}

/// Draws places by Zipf's law with exponent 1, in integers.
struct ZipfTable {
    private let cumulated: [UInt64]

    init(count: Int) {
        var sum: UInt64 = 0
        cumulated = (1...max(1, count)).map { rank in
            sum += (1 << 32) / UInt64(rank)
            return sum
        }
    }

    func draw(from random: inout RandomStream) -> Int {
        let word = random.below(cumulated[cumulated.count - 1])
        var low = 0
        var high = cumulated.count - 1
        while low < high {
            let middle = (low + high) / 2
            if cumulated[middle] > word { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
