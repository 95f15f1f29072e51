// BenchRun: the loads of a profile, one after another, each measured and cleaned up after.
//
//   blocks:  put (warm-up, measured) -> get of the same keys (warm-up, measured) -> delete
//   exists:  put of small blocks -> exists (warm-up, measured) -> delete
//
// Always holds: warm-up and measurement use different keys; each key that was put is deleted, also
// after a failure where the server still answers; a load that this server can't take is skipped
// with the reason.

import Client
import Foundation
import Settings
import Wire

struct BenchRun {
    let profile: BenchProfile
    let blocks: BenchBlocks
    let settings: Settings
    let servers: [ServerAddress]
    let observed: ObservedServers
    /// Told before each operation of a load.
    let progress: (String) -> Void
    private let own = ProcessInfo.processInfo.processIdentifier

    /// A pool of values is at least this large, more than the caches of a processor.
    private static let poolBytes = 64 << 20
    private static let existsBlocks: UInt64 = 4096
    private static let existsValueBytes = 4096
    private static let deleteBatch = 256

    init(
        _ profile: BenchProfile, blocks: BenchBlocks, settings: Settings,
        servers: [ServerAddress], observed: ObservedServers, progress: @escaping (String) -> Void
    ) {
        self.profile = profile
        self.blocks = blocks
        self.settings = settings
        self.servers = servers
        self.observed = observed
        self.progress = progress
    }

    /// Runs every load; adds cells and what was skipped to `report`.
    func run(into report: inout BenchReport) throws(CommandFailure) {
        var next: UInt64 = 0
        for load in profile.loads {
            let client = client(connections: load.connections)
            if let reason = try impossibility(of: load, by: client) {
                report.skipped.append(
                    BenchReport.Skipped(load: load.description, reason: reason))
                continue
            }
            let first = next
            defer { delete(first..<next, by: client) }
            switch load.kind {
            case .blocks(let bytes):
                report.cells += try runBlocks(load, valueBytes: bytes, client, &next)
            case .exists(let keys):
                report.cells.append(try runExists(load, batchKeys: keys, client, &next))
            }
        }
    }

    private func client(connections: Int) -> BlockingClient {
        var configuration = ClientConfiguration(servers: servers, seed: blocks.seed)
        configuration.key = settings.key
        configuration.connectionsPerServer = connections
        configuration.connectMicroseconds = settings.timeoutMicroseconds
        return BlockingClient(configuration)
    }

    /// Why no server, or this one, can take the load; nil when all can.
    private func impossibility(
        of load: BenchLoad, by client: BlockingClient
    ) throws(CommandFailure) -> String? {
        for (index, server) in servers.enumerated() {
            let limits: ConnectResponse
            do throws(ConnectError) {
                limits = try client.limits(of: ServerNumber(index), deadline: settings.deadline)
            } catch {
                throw CommandFailure(error, server: server)
            }
            if case .blocks(let bytes) = load.kind, bytes > Int(limits.valueLimitBytes) {
                return "\(server) takes values of \(limits.valueLimitBytes) bytes at most"
            }
            if case .exists(let keys) = load.kind, keys > Int(limits.batchLimit) {
                return "\(server) takes batches of \(limits.batchLimit) keys at most"
            }
            if load.inFlight > Int(limits.requestsInFlight) * load.connections {
                return "\(server) takes \(limits.requestsInFlight) requests a connection at most"
            }
        }
        return nil
    }

    // MARK: Loads

    private func runBlocks(
        _ load: BenchLoad, valueBytes: Int, _ client: BlockingClient, _ next: inout UInt64
    ) throws(CommandFailure) -> [BenchCell] {
        let loop = loop(load, valueBytes: valueBytes, client)
        let limit = max(UInt64(load.inFlight), profile.storedBytesLimit / UInt64(valueBytes))
        var puts = PutWorkload(blocks, valueBytes: valueBytes, first: next, limit: limit)
        defer { next += puts.count }
        progress("put, \(load)")
        let put = try measure(.put, load, loop, &puts, warmUpRequests: limit / 4)
        progress("get, \(load)")
        var gets = GetWorkload(
            blocks, valueBytes: valueBytes, numbers: Array(next..<(next + puts.count)))
        let get = try measure(.get, load, loop, &gets, warmUpRequests: puts.count / 8)
        return [put, get]
    }

    private func runExists(
        _ load: BenchLoad, batchKeys: Int, _ client: BlockingClient, _ next: inout UInt64
    ) throws(CommandFailure) -> BenchCell {
        let bytes = Self.existsValueBytes
        let filling = loop(load, valueBytes: bytes, client)
        var puts = PutWorkload(
            blocks, valueBytes: bytes, first: next, limit: Self.existsBlocks)
        let first = next
        defer { next = first + puts.count }
        progress("exists, \(load)")
        _ = try filling.run(&puts, until: LoopLimit(microseconds: .max / 1000))
        var exists = ExistsWorkload(
            blocks, batchKeys: batchKeys, present: Array(first..<(first + puts.count)))
        return try measure(.exists, load, filling, &exists, warmUpRequests: .max)
    }

    private func measure(
        _ operation: BenchCell.Operation, _ load: BenchLoad, _ loop: ClosedLoop,
        _ workload: inout some BenchWorkload, warmUpRequests: UInt64
    ) throws(CommandFailure) -> BenchCell {
        _ = try loop.run(
            &workload,
            until: LoopLimit(
                microseconds: profile.warmUpMicroseconds, requests: warmUpRequests))
        let before = KernelReading(observed, client: own)
        let counts = try loop.run(
            &workload, until: LoopLimit(microseconds: profile.measuredMicroseconds))
        let kernel = KernelReading(observed, client: own).since(before)
        return BenchCell(operation, of: load, counts, kernel, drives: observed.drives)
    }

    private func loop(
        _ load: BenchLoad, valueBytes: Int, _ client: BlockingClient
    ) -> ClosedLoop {
        let count = max(load.inFlight, Self.poolBytes / valueBytes)
        return ClosedLoop(
            client, inFlight: load.inFlight, timeoutMicroseconds: settings.timeoutMicroseconds,
            pool: (0..<count).map { blocks.memory($0, bytes: valueBytes) })
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
}
