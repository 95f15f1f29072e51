// mixed: every operation a server knows, in random order over a few connections: puts, overwrites,
// gets, deletes, exists, stat and their batches, of values from one byte to several slots.
//
// A miss, and a store that is full for the moment, are answers like others; anything else fails.

#if IOUring

import ArgumentParser
import Client
import Wire

struct MixedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mixed", abstract: "Sends mixed operations to a server.")

    @Option(help: "HOST:PORT of the server.") var server = "127.0.0.1:9900"
    @OptionGroup var keyInput: KeyInput
    @Option(help: "Requests to send; a batch is one.") var operations = 100_000
    @Option(help: "Connections.") var connections = 4
    @Option(help: "Requests in flight on each connection.") var depth = 8
    @Option(help: "Different keys.") var keys: UInt64 = 30_000
    @Option(help: "Seed of the operations.") var seed: UInt64 = 1

    func run() throws {
        let key = try keyInput.key()
        var clients: [MixedClient] = []
        for index in 0..<connections {
            clients.append(
                try MixedClient(
                    server: ServerAddress(parsing: server), key: key, depth: depth, keys: keys,
                    seed: seed &* 1000 &+ UInt64(index)))
        }
        let began = TCPConnection.now
        for number in 0..<operations {
            try clients[number % connections].send()
        }
        for client in clients { try client.finish() }
        let microseconds = TCPConnection.now.microseconds(since: began)
        let misses = clients.reduce(0) { $0 + $1.misses }
        print(
            """
            {"operations": \(operations), "misses": \(misses), \
            "seconds": \(Double(microseconds) / 1e6)}
            """)
    }
}

/// One connection's share of the operations.
final class MixedClient {
    private static let largestBytes = 5 << 20
    private static let smallBytes = 32 << 10
    private static let batchCount = 16

    private let connection: TCPConnection
    private let depth: Int
    private let keys: UInt64
    private let series: BlockSeries
    private var generator: SeededGenerator
    private let values = OwnedBytes(count: 8 << 20)
    private let sink: [OwnedBytes]
    private var freeSinks: [Int]
    private var sinkOfTag: [RequestTag: Int] = [:]
    private(set) var misses = 0

    init(
        server: ServerAddress, key: AuthenticationKey?, depth: Int, keys: UInt64, seed: UInt64
    ) throws {
        connection = try TCPConnection(
            to: server, key: key, deadline: TCPConnection.now.advanced(byMicroseconds: 10_000_000))
        self.depth = depth
        self.keys = keys
        series = BlockSeries(seed: 7, smallestBytes: 1, largestBytes: 1)
        generator = SeededGenerator(seed: seed)
        let words = (0..<(values.count / 8)).map { BlockKey.finalize(UInt64($0)) }
        values.store(words: words, at: 0)
        sink = (0..<depth).map { _ in OwnedBytes(count: Self.largestBytes) }
        freeSinks = Array(0..<depth)
    }

    /// Sends the next operation; waits for an answer first when `depth` are on their way.
    func send() throws {
        while connection.unansweredCount >= depth { try takeOutcome() }
        guard let place = freeSinks.popLast() else { preconditionFailure("more than the depth") }
        let tag = try connection.submit(
            operation(into: sink[place].destination),
            deadline: TCPConnection.now.advanced(byMicroseconds: 60_000_000))
        sinkOfTag[tag] = place
    }

    /// Waits for every answer.
    func finish() throws {
        while connection.unansweredCount > 0 { try takeOutcome() }
    }

    private func takeOutcome() throws {
        guard let outcome = connection.nextOutcome() else {
            throw BenchmarkFailure("no answer: \(String(describing: connection.failure))")
        }
        if let place = sinkOfTag.removeValue(forKey: outcome.tag) { freeSinks.append(place) }
        try judge(outcome.status)
        for item in outcome.items { try judge(item.status) }
    }

    private func judge(_ status: OutcomeStatus) throws {
        switch status {
        case .ended(.ok): break
        case .ended(.notFound), .ended(.noSpace): misses += 1
        // A batch of gets that found a long value: above the payload's limit, or its memory.
        case .ended(.tooLarge), .bufferTooSmall: misses += 1
        default: throw BenchmarkFailure("an operation ended with \(status)")
        }
    }

    private func operation(into destination: DestinationBytes) -> ClientRequest {
        switch generator.next() % 100 {
        case 0..<35: .put(PutItem(key: key(), value: value()))
        case 35..<60: .get(GetItem(key: key(), destination: destination))
        case 60..<68: .delete(key())
        case 68..<80: .exists(batch { key() })
        case 80..<85: .stat(key())
        case 85..<90: .putBatch(batch { PutItem(key: key(), value: value(longest: 4096)) })
        case 90..<95: .getBatch(getItems(destination))
        default: .deleteBatch(batch { key() })
        }
    }

    private func key() -> BlockKey { series.key(generator.next() % keys) }

    /// Mostly small; one in 256 longer than a slot.
    private func value(longest: Int = MixedClient.smallBytes) -> SourceBytes {
        let isLarge = longest == Self.smallBytes && generator.next() % 256 == 0
        let limit = isLarge ? Self.largestBytes : longest
        let count = 1 + Int(generator.next() % UInt64(limit))
        return values.source.slice(
            from: Int(generator.next() % UInt64(values.count - count)), count: count)
    }

    private func batch<Item>(_ make: () -> Item) -> [Item] {
        (0..<1 + Int(generator.next() % UInt64(Self.batchCount))).map { _ in make() }
    }

    private func getItems(_ destination: DestinationBytes) -> [GetItem] {
        let count = 1 + Int(generator.next() % 4)
        let part = destination.count / 4
        return (0..<count).map { index in
            GetItem(
                key: key(), destination: destination.slice(from: index * part, count: part))
        }
    }
}

#endif
