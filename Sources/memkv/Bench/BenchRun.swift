// BenchRun: the loads of a profile, one after another, round by round, each measured and cleaned up
// after.
//
//   blocks:  put (warm-up, measured) -> get of the same keys (warm-up, measured) -> delete
//   exists:  exists (warm-up, measured); before the first, small blocks are put, and after the last
//            round they are deleted
//
// Several servers can be measured in turns: each load on each of them before the next load, the
// first of a round the last of the next, so that neither is always measured on a rested machine.
//
// Always holds: warm-up and measurement use different keys; each key that was put is deleted, also
// after a failure where the server still answers; a load that a server can't take is skipped on all
// with the reason.

import Client
import Foundation
import Settings
import Wire

/// What is measured: servers that share the keys, and what came of it.
struct BenchSubject {
    let servers: [ServerAddress]
    let observed: ObservedServers
    /// The next block's number.
    fileprivate var next: UInt64 = 0
    /// The blocks that `exists` asks for, once they are put.
    fileprivate var present: Range<UInt64> = 0..<0
    fileprivate(set) var cells: [BenchCellRounds] = []

    init(
        _ servers: [ServerAddress], child: Int32?, access: AdminAccess, deadline: MonotonicTime
    ) {
        self.servers = servers
        observed = ObservedServers(
            servers, child: child, access: access, deadline: deadline)
    }

    fileprivate mutating func add(
        _ round: BenchRound, _ operation: BenchCell.Operation, _ load: BenchLoad
    ) {
        let known = cells.firstIndex { $0.operation == operation && $0.load == load }
        if known == nil { cells.append(BenchCellRounds(operation: operation, load: load)) }
        cells[known ?? cells.count - 1].rounds.append(round)
    }
}

/// The rounds of one operation of one load.
struct BenchCellRounds {
    let operation: BenchCell.Operation
    let load: BenchLoad
    var rounds: [BenchRound] = []
}

/// What one round measured of one operation of one load.
struct BenchRound {
    let number: Int
    let counts: LoopCounts
    let kernel: KernelReading
}

struct BenchRun {
    let profile: BenchProfile
    let blocks: BenchBlocks
    let settings: Settings
    /// Told before each operation of a load.
    let progress: (String) -> Void
    private let pool: BenchPool
    private let own = ProcessInfo.processInfo.processIdentifier

    private static let existsBlocks: UInt64 = 4096
    private static let existsValueBytes = 4096
    private static let deleteBatch = 256

    init(
        _ profile: BenchProfile, blocks: BenchBlocks, settings: Settings,
        progress: @escaping (String) -> Void
    ) {
        self.profile = profile
        self.blocks = blocks
        self.settings = settings
        self.progress = progress
        pool = BenchPool(blocks)
    }

    /// Runs every load on every subject, and adds to these what was measured; returns what was
    /// skipped.
    func run(
        on subjects: inout [BenchSubject]
    ) throws(CommandFailure) -> [BenchReport.Skipped] {
        var skipped: [BenchReport.Skipped] = []
        var loads: [BenchLoad] = []
        for load in profile.loads {
            if let reason = try impossibility(of: load, subjects) {
                skipped.append(BenchReport.Skipped(load: load.description, reason: reason))
            } else {
                loads.append(load)
            }
        }
        defer {
            for subject in subjects {
                delete(subject.present, by: client(of: subject, connections: 1))
            }
        }
        for round in 0..<profile.rounds {
            for load in loads {
                let order = Array(subjects.indices)
                for index in round % 2 == 0 ? order : order.reversed() {
                    try run(load, round, on: &subjects[index])
                }
            }
        }
        return skipped
    }

    private func run(
        _ load: BenchLoad, _ round: Int, on subject: inout BenchSubject
    ) throws(CommandFailure) {
        let client = client(of: subject, connections: load.connections)
        switch load.kind {
        case .blocks(let bytes):
            try runBlocks(load, round, valueBytes: bytes, client, &subject)
        case .exists(let keys):
            try runExists(load, round, batchKeys: keys, client, &subject)
        }
    }

    private func client(of subject: BenchSubject, connections: Int) -> BlockingClient {
        var configuration = settings.configuration(servers: subject.servers, seed: blocks.seed)
        configuration.connectionsPerServer = connections
        return BlockingClient(configuration)
    }

    /// Why no server, or one of these, can't take the load; nil when all can.
    private func impossibility(
        of load: BenchLoad, _ subjects: [BenchSubject]
    ) throws(CommandFailure) -> String? {
        for subject in subjects {
            let client = client(of: subject, connections: load.connections)
            for (index, server) in subject.servers.enumerated() {
                let limits: ConnectResponse
                do throws(ConnectError) {
                    limits = try client.limits(
                        of: ServerNumber(index), deadline: settings.deadline)
                } catch {
                    throw CommandFailure(error, server: server)
                }
                if let reason = load.impossibility(within: limits) {
                    return "\(server) takes \(reason) at most"
                }
            }
        }
        return nil
    }

    // MARK: Loads

    private func runBlocks(
        _ load: BenchLoad, _ round: Int, valueBytes: Int, _ client: BlockingClient,
        _ subject: inout BenchSubject
    ) throws(CommandFailure) {
        let loop = loop(load, valueBytes: valueBytes, client)
        let limit = max(UInt64(load.inFlight), profile.storedBytesLimit / UInt64(valueBytes))
        let first = subject.next
        var puts = PutWorkload(blocks, valueBytes: valueBytes, first: first, limit: limit)
        defer {
            subject.next = first + puts.count
            delete(first..<subject.next, by: client)
        }
        progress("round \(round + 1) of \(profile.rounds): put, \(load)")
        let put = try measure(round, subject, loop, &puts, warmUpRequests: limit / 4)
        subject.add(put, .put, load)
        progress("round \(round + 1) of \(profile.rounds): get, \(load)")
        var gets = GetWorkload(
            blocks, valueBytes: valueBytes, numbers: Array(first..<(first + puts.count)))
        let get = try measure(round, subject, loop, &gets, warmUpRequests: puts.count / 8)
        subject.add(get, .get, load)
    }

    private func runExists(
        _ load: BenchLoad, _ round: Int, batchKeys: Int, _ client: BlockingClient,
        _ subject: inout BenchSubject
    ) throws(CommandFailure) {
        progress("round \(round + 1) of \(profile.rounds): exists, \(load)")
        let loop = loop(load, valueBytes: Self.existsValueBytes, client)
        if subject.present.isEmpty { try putBlocksToAskFor(loop, &subject) }
        var exists = ExistsWorkload(
            blocks, batchKeys: batchKeys, present: Array(subject.present))
        let measured = try measure(round, subject, loop, &exists, warmUpRequests: .max)
        subject.add(measured, .exists, load)
    }

    private func putBlocksToAskFor(
        _ loop: ClosedLoop, _ subject: inout BenchSubject
    ) throws(CommandFailure) {
        let first = subject.next
        var puts = PutWorkload(
            blocks, valueBytes: Self.existsValueBytes, first: first, limit: Self.existsBlocks)
        defer {
            subject.next = first + puts.count
            subject.present = first..<subject.next
        }
        _ = try loop.run(&puts, until: LoopLimit(microseconds: .max / 1000))
    }

    private func measure(
        _ round: Int, _ subject: BenchSubject, _ loop: ClosedLoop,
        _ workload: inout some BenchWorkload, warmUpRequests: UInt64
    ) throws(CommandFailure) -> BenchRound {
        let warmUp =
            round == 0 ? profile.firstWarmUpMicroseconds : profile.warmUpMicroseconds
        _ = try loop.run(
            &workload, until: LoopLimit(microseconds: warmUp, requests: warmUpRequests))
        let before = KernelReading(subject.observed, client: own)
        let counts = try loop.run(
            &workload, until: LoopLimit(microseconds: profile.measuredMicroseconds))
        let kernel = KernelReading(subject.observed, client: own).since(before)
        return BenchRound(number: round, counts: counts, kernel: kernel)
    }

    private func loop(
        _ load: BenchLoad, valueBytes: Int, _ client: BlockingClient
    ) -> ClosedLoop {
        ClosedLoop(
            client, inFlight: load.inFlight, timeoutMicroseconds: settings.timeoutMicroseconds,
            pool: pool.values(ofBytes: valueBytes, inFlight: load.inFlight))
    }

    /// Deletes what a load has put. A key that can't be deleted is left to eviction.
    private func delete(_ numbers: Range<UInt64>, by client: BlockingClient) {
        // What is under way after a failure must end before a blocking call.
        while client.nextOutcome() != nil {}
        var rest = numbers
        while !rest.isEmpty {
            let keys = rest.prefix(Self.deleteBatch).map(blocks.key)
            rest = rest.dropFirst(keys.count)
            guard (try? client.deleteBatch(keys, deadline: settings.deadline)) != nil else {
                return
            }
        }
    }
}

extension BenchLoad: CustomStringConvertible {
    var description: String {
        let what =
            switch kind {
            case .blocks(let bytes): ByteSize(bytes: UInt64(bytes)).exact
            case .exists(let keys): "\(keys) keys"
            }
        return "\(what), \(inFlight) in flight over \(connections) connections"
    }

    /// What a server with `limits` takes at most, if that is too little for this load.
    func impossibility(within limits: ConnectResponse) -> String? {
        if case .blocks(let bytes) = kind, bytes > Int(limits.valueLimitBytes) {
            return "values of \(limits.valueLimitBytes) bytes"
        }
        if case .exists(let keys) = kind, keys > Int(limits.batchLimit) {
            return "batches of \(limits.batchLimit) keys"
        }
        if inFlight > Int(limits.requestsInFlight) * connections {
            return "\(limits.requestsInFlight) requests a connection"
        }
        return nil
    }
}
