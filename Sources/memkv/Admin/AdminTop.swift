// admin top: what servers do at the moment, a line for each, again and again.
//
// Always holds: a rate is the difference of two readings of the same server, over the time between
// them; a server that doesn't answer has a line that says so, and its next rates begin anew. Ends
// with the exit code of the last round.

import ArgumentParser
import Client
import Foundation

struct AdminTop: MemkvCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "What servers do at the moment, renewed until Ctrl-C.",
        discussion: """
            The first line of a server has no rates yet. --json prints one object a round.
            """)

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    @Option(help: ArgumentHelp("Time between two rounds.", valueName: "seconds"))
    var interval = 1.0

    @Option(help: "End after so many rounds.")
    var count: Int?

    func validate() throws {
        guard interval >= 0.1, interval <= 3600 else {
            throw ValidationError("--interval: give 0.1 to 3600 seconds")
        }
        if let count, count < 1 { throw ValidationError("--count: give 1 or more") }
    }

    func run(_ settings: Settings) throws {
        var former: [ServerAddress: TopReading] = [:]
        let isLive = !settings.json && isatty(STDOUT_FILENO) == 1
        var rounds = 0
        while true {
            let round = try AdminRound(of: "/v1/metrics", settings)
            let now = BlockingClient.now
            var readings: [ServerAddress: TopReading] = [:]
            for answer in round.answers {
                guard let text = try? answer.metricsText() else { continue }
                readings[answer.server] = TopReading(at: now, MetricReading(text))
            }
            let lines = settings.servers.map { server in
                (server, readings[server].map { TopLine($0, since: former[server]) })
            }
            if settings.json { try printJSON(lines) } else { printTable(lines, isLive: isLive) }
            former = readings
            rounds += 1
            if let count, rounds >= count {
                try round.showEach { answer throws(CommandFailure) in
                    _ = try answer.metricsText()
                }
                return
            }
            usleep(UInt32(interval * 1_000_000))
        }
    }

    private func printTable(_ lines: [(server: ServerAddress, line: TopLine?)], isLive: Bool) {
        let header = [
            "server", "health", "ready", "fill", "blocks", "reads/s", "writes/s", "MB/s read",
            "MB/s written", "hits", "sessions", "slabs",
        ]
        let rows = lines.map { server, line in
            ["\(server)"] + (line?.cells ?? ["doesn't answer"])
        }
        let clear = isLive ? "\u{1B}[H\u{1B}[2J" : ""
        Terminal.print(clear + StatusTable.aligned([header] + rows))
    }

    private func printJSON(_ lines: [(server: ServerAddress, line: TopLine?)]) throws {
        var object: [String: TopLine?] = [:]
        for (server, line) in lines { object["\(server)"] = .some(line) }
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        Terminal.print(String(decoding: try encoder.encode(object), as: UTF8.self))
    }
}

/// A server's metrics at one moment of ours.
struct TopReading {
    let moment: MonotonicTime
    let metrics: MetricReading

    init(at moment: MonotonicTime, _ metrics: MetricReading) {
        self.moment = moment
        self.metrics = metrics
    }
}

/// What one line says; rates are nil without an earlier reading.
struct TopLine: Encodable {
    let health: String
    let isReady: Bool
    let usedBytes: Double
    let usableBytes: Double
    let blocks: Double
    let readsPerSecond: Double?
    let writesPerSecond: Double?
    let readBytesPerSecond: Double?
    let writtenBytesPerSecond: Double?
    /// Share of the reads since the earlier reading that found their block.
    let hitRatio: Double?
    let sessions: Double
    let slabsAllocated: Double
    let slabsTotal: Double

    init(_ now: TopReading, since former: TopReading?) {
        let metrics = now.metrics
        func grown(_ name: String) -> Double? {
            // A counter that has fallen is that of a new process.
            former.map { metrics.sum(name) - $0.metrics.sum(name) }.flatMap { $0 < 0 ? nil : $0 }
        }
        let seconds = former.map { Double(now.moment.microseconds(since: $0.moment)) / 1_000_000 }
        func rate(_ name: String) -> Double? {
            guard let seconds, seconds > 0, let grown = grown(name) else { return nil }
            return grown / seconds
        }
        health = metrics.word("memkv_health", label: "status") ?? "unknown"
        isReady = metrics.sum("memkv_ready") == 1
        usedBytes = metrics.sum("memkv_storage_used_bytes")
        usableBytes = metrics.sum("memkv_storage_usable_bytes")
        blocks = metrics.sum("memkv_blocks_total")
        readsPerSecond = rate("memkv_read_total")
        writesPerSecond = rate("memkv_write_total")
        readBytesPerSecond = rate("memkv_read_bytes_total")
        writtenBytesPerSecond = rate("memkv_write_bytes_total")
        if let reads = grown("memkv_read_total"), reads > 0,
            let misses = grown("memkv_read_misses_total")
        {
            hitRatio = 1 - misses / reads
        } else {
            hitRatio = nil
        }
        sessions = metrics.sum("memkv_sessions_active")
        slabsAllocated = metrics.sum("memkv_slabs_allocated")
        slabsTotal = metrics.sum("memkv_slabs_total")
    }

    var cells: [String] {
        [
            health, isReady ? "yes" : "no",
            Self.percent(usableBytes == 0 ? nil : usedBytes / usableBytes), Self.whole(blocks),
            Self.whole(readsPerSecond), Self.whole(writesPerSecond),
            Self.megabytes(readBytesPerSecond), Self.megabytes(writtenBytesPerSecond),
            Self.percent(hitRatio), Self.whole(sessions),
            "\(Self.whole(slabsAllocated)) / \(Self.whole(slabsTotal))",
        ]
    }

    private static func whole(_ value: Double?) -> String {
        value.map { String(format: "%.0f", $0) } ?? "-"
    }
    private static func megabytes(_ value: Double?) -> String {
        value.map { String(format: "%.1f", $0 / 1_000_000) } ?? "-"
    }
    private static func percent(_ value: Double?) -> String {
        value.map { String(format: "%.1f %%", $0 * 100) } ?? "-"
    }
}
