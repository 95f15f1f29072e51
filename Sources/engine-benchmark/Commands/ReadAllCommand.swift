// read-all: gets every block that `fill` left behind from a server, in batches, and says how many
// were there.

#if IOUring

import ArgumentParser
import Client
import Wire

struct ReadAllCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "read-all", abstract: "Gets every block that fill left, from a server.")

    @Option(help: "HOST:PORT of the server.") var server = "127.0.0.1:9900"
    @OptionGroup var fill: FillSeries

    private static let batchCount = 64

    func run() throws {
        let connection = try TCPConnection(
            to: ServerAddress(parsing: server),
            deadline: TCPConnection.now.advanced(byMicroseconds: 10_000_000))
        let series = fill.series
        let survivors = fill.survivors
        let memory = OwnedBytes(count: Self.batchCount * 4096)
        var found = 0
        let began = TCPConnection.now
        for start in stride(from: 0, to: survivors.count, by: Self.batchCount) {
            let numbers = survivors[start..<min(start + Self.batchCount, survivors.count)]
            let items = numbers.enumerated().map { place, number in
                GetItem(
                    key: series.key(number),
                    destination: memory.destination.slice(from: place * 4096, count: 4096))
            }
            let outcomes = try connection.getBatch(
                items, deadline: TCPConnection.now.advanced(byMicroseconds: 60_000_000))
            for (outcome, number) in zip(outcomes, numbers) {
                guard outcome.status == .ok else {
                    throw BenchmarkFailure("block \(number): \(outcome.status)")
                }
                guard outcome.valueBytes == series.lengthBytes(number) else {
                    throw BenchmarkFailure("block \(number) has \(outcome.valueBytes) bytes")
                }
                found += 1
            }
        }
        let microseconds = TCPConnection.now.microseconds(since: began)
        print("{\"found\": \(found), \"seconds\": \(Double(microseconds) / 1e6)}")
    }
}

#endif
