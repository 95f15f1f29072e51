// BenchProfile: what a run does, by name: the loads and how long each may take.
//
// Always holds: a profile's name stands for the same loads in every version that writes the same
// schema; a change of loads is a new name or a new schema.

import ArgumentParser

/// What is asked of the server, and how.
struct BenchLoad: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        /// Puts of new keys, then gets of the same keys, each once, in random order.
        case blocks(valueBytes: Int)
        /// Batches of keys, every second of which is there.
        case exists(batchKeys: Int)
    }

    var kind: Kind
    /// Requests under way at once, over all connections.
    var inFlight: Int
    var connections: Int
}

enum BenchProfile: String, CaseIterable, ExpressibleByArgument {
    case smoke, quick, standard

    var loads: [BenchLoad] {
        switch self {
        case .smoke:
            [.blocks(64 << 10, 4, 2), .blocks(1 << 20, 2, 1), .exists(64, 4, 1)]
        case .quick:
            [
                .blocks(16 << 10, 1, 1), .blocks(16 << 10, 16, 4), .blocks(256 << 10, 8, 4),
                .blocks(1 << 20, 4, 2), .blocks(4 << 20, 1, 1), .blocks(4 << 20, 8, 4),
                .blocks(16 << 20, 2, 1), .exists(64, 1, 1), .exists(64, 8, 1),
            ]
        case .standard:
            [16, 64, 256, 1024, 4096, 16384].flatMap(Self.blocksAtEachConcurrency) + [
                .exists(1, 16, 4), .exists(64, 1, 1), .exists(64, 16, 4), .exists(512, 4, 1),
            ]
        }
    }

    private static func blocksAtEachConcurrency(kibibytes: Int) -> [BenchLoad] {
        let bytes = kibibytes << 10
        return [
            .blocks(bytes, 1, 1), .blocks(bytes, 4, 1), .blocks(bytes, 16, 1),
            .blocks(bytes, 16, 8),
        ]
    }

    /// How often each load is measured, all loads in each round: what disturbs the machine for a
    /// while then shows as a scatter of the rounds and not as a load that is slow.
    var rounds: Int {
        switch self {
        case .smoke: 20
        case .quick: 15
        case .standard: 20
        }
    }

    /// Of each operation of a load in the first round, before anything is recorded.
    var firstWarmUpMicroseconds: UInt64 {
        switch self {
        case .smoke: 50_000
        case .quick: 200_000
        case .standard: 1_000_000
        }
    }

    /// The same in the rounds after the first.
    var warmUpMicroseconds: UInt64 {
        switch self {
        case .smoke: 10_000
        case .quick: 30_000
        case .standard: 50_000
        }
    }

    /// Of each operation of a load in each round, recorded.
    var measuredMicroseconds: UInt64 {
        switch self {
        case .smoke: 30_000
        case .quick: 100_000
        case .standard: 250_000
        }
    }

    /// Blocks that one load stores in a round take no more than this together.
    var storedBytesLimit: UInt64 {
        switch self {
        case .smoke: 64 << 20
        case .quick: 1 << 30
        case .standard: 4 << 30
        }
    }

    /// Size of the drive that a run of its own makes: its blocks with room for what was put before
    /// and is not yet free again, and for the largest slots' alignment.
    var storeBytes: UInt64 { 2 * storedBytesLimit + (1 << 30) }
}

extension BenchLoad {
    fileprivate static func blocks(_ bytes: Int, _ inFlight: Int, _ connections: Int) -> BenchLoad {
        BenchLoad(
            kind: .blocks(valueBytes: bytes), inFlight: inFlight, connections: connections)
    }

    fileprivate static func exists(_ keys: Int, _ inFlight: Int, _ connections: Int) -> BenchLoad {
        BenchLoad(kind: .exists(batchKeys: keys), inFlight: inFlight, connections: connections)
    }
}
