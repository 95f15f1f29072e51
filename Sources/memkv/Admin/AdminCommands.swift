// admin: what running servers say of themselves, over their admin endpoint (data port + 1).

import ArgumentParser
import Client
import Foundation

struct Admin: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask running servers about themselves.",
        subcommands: [AdminStatus.self, AdminHealth.self])
}

struct AdminStatus: MemkvCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Memory, storage and drives of a server.",
        discussion:
            "--json prints the server's own answer; with several servers, an object by server.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    func run(_ settings: Settings) throws {
        let answers = try AdminAnswer.all(of: "/v1/status", settings)
        for answer in answers where answer.statusCode != 200 {
            throw CommandFailure(
                .refused, "\(answer.server) answered /v1/status with HTTP \(answer.statusCode)")
        }
        if settings.json { return print(AdminAnswer.json(answers)) }
        for answer in answers {
            let status: ServerStatus
            do {
                status = try answer.decoded(as: ServerStatus.self)
            } catch {
                throw CommandFailure(
                    .damaged,
                    "\(answer.server) answered /v1/status with something else than a status")
            }
            print(StatusTable.text(of: status, server: answer.server))
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
        let answers = try AdminAnswer.all(of: "/v1/health", settings)
        var healthy = true
        for answer in answers {
            guard let health = try? answer.decoded(as: Health.self) else {
                throw CommandFailure(
                    .damaged,
                    "\(answer.server) answered /v1/health with something else than a health")
            }
            healthy = healthy && health.status == "healthy"
            if settings.json { continue }
            var line = "\(answer.server)  \(health.status)"
            if let online = health.drivesOnline, let total = health.drivesTotal {
                line += ", \(online) of \(total) drives online"
            }
            if let offline = health.drivesOffline, offline > 0 { line += ", \(offline) offline" }
            print(line)
        }
        if settings.json { print(AdminAnswer.json(answers)) }
        if !healthy { throw CommandFailure(.difference, "") }
    }
}

/// One server's answer.
struct AdminAnswer {
    let server: ServerAddress
    let statusCode: Int
    let body: [UInt8]

    static func all(of path: String, _ settings: Settings) throws -> [AdminAnswer] {
        try settings.servers.map { server in
            guard let admin = server.admin else {
                throw CommandFailure(
                    .usage, "\(server) has no port above it for the admin endpoint")
            }
            let answer = try HTTPGet.perform(path, on: admin, deadline: settings.deadline)
            return AdminAnswer(server: server, statusCode: answer.statusCode, body: answer.body)
        }
    }

    func decoded<Value: Decodable>(as type: Value.Type) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(body))
    }

    /// One server's answer as it is; several as one object.
    static func json(_ answers: [AdminAnswer]) -> String {
        if answers.count == 1 { return String(decoding: answers[0].body, as: UTF8.self) }
        let items = answers.map { "\"\($0.server)\":" + String(decoding: $0.body, as: UTF8.self) }
        return "{" + items.joined(separator: ",") + "}"
    }
}
