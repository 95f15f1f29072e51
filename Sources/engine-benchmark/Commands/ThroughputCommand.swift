// throughput: one kind of request, over one connection, as fast as it goes.

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

    func run() throws {
        let connection = try TCPConnection(
            to: ServerAddress(parsing: server), key: keyInput.key(),
            deadline: TCPConnection.now.advanced(byMicroseconds: 10_000_000))
        let prepared = prepare()
        var free = Array(prepared.indices)
        var places: [RequestTag: Int] = [:]
        let began = TCPConnection.now
        for number in 0..<requests {
            if free.isEmpty { try takeOutcome(connection, &places, &free) }
            let place = free.removeLast()
            let tag = try connection.submit(
                request(number, prepared[place]),
                deadline: TCPConnection.now.advanced(byMicroseconds: 60_000_000))
            places[tag] = place
        }
        while !places.isEmpty { try takeOutcome(connection, &places, &free) }
        let microseconds = TCPConnection.now.microseconds(since: began)
        print(
            """
            {"kind": "\(kind)", "requests": \(requests), \
            "seconds": \(Double(microseconds) / 1e6)}
            """)
    }

    private func prepare() -> [OwnedBytes] {
        (0..<depth).map { seed in
            let bytes = OwnedBytes(count: (valueBytes + 7) / 8 * 8)
            let words = (0..<bytes.count / 8).map { BlockKey.finalize(UInt64($0 + seed)) }
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

    private func takeOutcome(
        _ connection: TCPConnection, _ places: inout [RequestTag: Int], _ free: inout [Int]
    ) throws {
        guard let outcome = connection.nextOutcome() else {
            throw BenchmarkFailure("no answer: \(String(describing: connection.failure))")
        }
        guard outcome.status == .ok else {
            throw BenchmarkFailure("a request ended with \(outcome.status)")
        }
        if let place = places.removeValue(forKey: outcome.tag) { free.append(place) }
    }
}

#endif
