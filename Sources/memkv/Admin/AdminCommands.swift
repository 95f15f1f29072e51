// admin: what running servers say of themselves, over their admin endpoint (data port + 1).

import ArgumentParser
import Client
import Foundation

struct Admin: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask running servers about themselves.",
        subcommands: [AdminStatus.self, AdminHealth.self, AdminMetrics.self, AdminTop.self])
}

struct AdminStatus: MemkvCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Memory, storage and drives of a server.",
        discussion: """
            --json prints the server's own answer; with several servers, an object by server, in \
            which a server that doesn't answer is {"error": "…"}.
            """)

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    func run(_ settings: Settings) throws {
        let round = try AdminRound(of: "/v1/status", settings)
        if settings.json { round.printJSON() }
        try round.showEach { answer throws(CommandFailure) in
            guard answer.statusCode == 200 else {
                throw CommandFailure(
                    .refused,
                    "\(answer.server) answered /v1/status with HTTP \(answer.statusCode)")
            }
            if settings.json { return }
            guard let status = try? answer.decoded(as: ServerStatus.self) else {
                throw CommandFailure(
                    .damaged,
                    "\(answer.server) answered /v1/status with something else than a status")
            }
            Terminal.print(StatusTable.text(of: status, server: answer.server))
        }
    }
}

struct AdminHealth: MemkvCommand {
    static let configuration = CommandConfiguration(
        commandName: "health", abstract: "Whether a server is healthy; ends with 1 when one isn't.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    private struct Health: Decodable {
        let status: String
        let drivesOnline: Int?
        let drivesOffline: Int?
        let drivesTotal: Int?
    }

    func run(_ settings: Settings) throws {
        let round = try AdminRound(of: "/v1/health", settings)
        if settings.json { round.printJSON() }
        var healthy = true
        try round.showEach { answer throws(CommandFailure) in
            guard let health = try? answer.decoded(as: Health.self) else {
                throw CommandFailure(
                    .damaged,
                    "\(answer.server) answered /v1/health with something else than a health")
            }
            healthy = healthy && health.status == "healthy"
            if settings.json { return }
            var line = "\(answer.server)  \(health.status)"
            if let online = health.drivesOnline, let total = health.drivesTotal {
                line += ", \(online) of \(total) drives online"
            }
            if let offline = health.drivesOffline, offline > 0 { line += ", \(offline) offline" }
            Terminal.print(line)
        }
        if !healthy { throw CommandFailure(.difference, "") }
    }
}

struct AdminMetrics: MemkvCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "A server's metrics, as Prometheus reads them.",
        discussion: """
            With several servers, a comment line with its address in front of each one's. --json \
            prints an object: metric names with their labels, and values.
            """)

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    func run(_ settings: Settings) throws {
        let round = try AdminRound(of: "/v1/metrics", settings)
        var byServer: [String: [String: Double]] = [:]
        defer { if settings.json { try? Terminal.json(byServer) } }
        try round.showEach { answer throws(CommandFailure) in
            let text = try answer.metricsText()
            if settings.json {
                byServer["\(answer.server)"] = MetricReading(text).values
                return
            }
            if settings.servers.count > 1 { Terminal.print("# server \(answer.server)") }
            Terminal.print(text, terminator: "")
        }
    }
}
