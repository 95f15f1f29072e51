// throughput: one kind of request, as fast as it goes.
//
// Always holds: values lie in a pool that is walked in order, so that with one larger than the
// caches each is sent or received cold.

#if IOUring

import ArgumentParser
import Client
import Wire

/// What is sent again and again.
enum ThroughputKind: String, ExpressibleByArgument, CaseIterable {
    case exists, put, get
}

struct ThroughputCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "throughput", abstract: "Sends one kind of request to a server.")

    @Option(help: "HOST:PORT of the server.") var server = "127.0.0.1:9900"
    @OptionGroup var keyInput: KeyInput
    @Option(help: "exists (batches of --batch keys), put or get.") var kind: ThroughputKind
    @Option(help: "Requests to send.") var requests = 1000
    @Option(help: "Bytes of a value.") var valueBytes = 65536
    @Option(help: "Different keys.") var keys: UInt64 = 1000
    @Option(help: "Keys of one exists.") var batch = 64
    @Option(help: "Requests in flight.") var depth = 8
    @Option(help: "Connections.") var connections = 1
    @Option(help: "Bytes of the pool that values lie in; one for each request in flight at least.")
    var poolBytes = 0

    /// The values' memory, the places of it that no request uses, and which request uses which.
    private struct Memory {
        var places: [OwnedBytes]
        var free: ArraySlice<Int>
        var used: [RequestTag: Int] = [:]

        init(places: [OwnedBytes]) {
            self.places = places
            free = ArraySlice(places.indices)
        }
    }

    func run() throws {
        var configuration = ClientConfiguration(
            servers: [try ServerAddress(parsing: server)], seed: 1)
        configuration.key = try keyInput.key()
        configuration.connectionsPerServer = connections
        let client = BlockingClient(configuration)
        var memory = Memory(places: prepare())
        _ = try client.limits(
            of: client.placement.server(for: .lowest),
            deadline: BlockingClient.now.advanced(byMicroseconds: 10_000_000))
        let processor = ProcessorClock.ownNanoseconds
        let began = BlockingClient.now
        for number in 0..<requests {
            if memory.used.count == depth { try takeOutcome(client, &memory) }
            let place = memory.free.removeFirst()
            let tag = try client.submit(
                request(number, memory.places[place]),
                deadline: BlockingClient.now.advanced(byMicroseconds: 60_000_000))
            memory.used[tag] = place
        }
        while !memory.used.isEmpty { try takeOutcome(client, &memory) }
        let microseconds = BlockingClient.now.microseconds(since: began)
        let nanoseconds = ProcessorClock.ownNanoseconds - processor
        print(
            """
            {"kind": "\(kind)", "requests": \(requests), \
            "seconds": \(Double(microseconds) / 1e6), \
            "client_processor_seconds": \(Double(nanoseconds) / 1e9)}
            """)
    }

    private func prepare() -> [OwnedBytes] {
        (0..<max(depth, poolBytes / valueBytes)).map { seed in
            let bytes = OwnedBytes(count: (valueBytes + 7) / 8 * 8)
            let words = (0..<bytes.count / 8).map {
                BlockKey.finalize(UInt64(seed) << 32 + UInt64($0))
            }
            bytes.store(words: words, at: 0)
            return bytes
        }
    }

    private func request(_ number: Int, _ memory: OwnedBytes) -> ClientRequest {
        let series = BlockSeries(seed: 11, smallestBytes: 1, largestBytes: 1)
        let key = series.key(UInt64(number) % keys)
        switch kind {
        case .put: return .put(PutItem(key: key, value: memory.source(count: valueBytes)))
        case .get:
            return .get(
                GetItem(
                    key: key, destination: memory.destination.slice(from: 0, count: valueBytes)))
        case .exists:
            let first = UInt64(number) * UInt64(batch)
            return .exists((0..<UInt64(batch)).map { series.key((first + $0) % keys) })
        }
    }

    private func takeOutcome(_ client: BlockingClient, _ memory: inout Memory) throws {
        guard let outcome = client.nextOutcome() else {
            throw BenchmarkFailure("no answer")
        }
        guard outcome.status == .ok else {
            throw BenchmarkFailure("a request ended with \(outcome.status)")
        }
        if let place = memory.used.removeValue(forKey: outcome.tag) { memory.free.append(place) }
    }
}

#endif
