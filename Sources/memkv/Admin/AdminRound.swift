// AdminRound: the same question to every server's admin endpoint at once.
//
// Always holds: a server that doesn't answer costs its own answer and no other's: what the others
// say is shown, its failure behind them, and the command ends with its exit code.

import Client
import Foundation
import Synchronization

/// One server's answer.
struct AdminAnswer {
    let server: ServerAddress
    let statusCode: Int
    let body: [UInt8]

    func decoded<Value: Decodable>(as type: Value.Type) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(type, from: Data(body))
    }
}

struct AdminRound {
    /// In the order of the servers.
    private let results: [(server: ServerAddress, result: Result<AdminAnswer, CommandFailure>)]

    init(of path: String, _ settings: Settings) throws(CommandFailure) {
        for server in settings.servers where server.admin == nil {
            throw CommandFailure(.usage, "\(server) has no port above it for the admin endpoint")
        }
        let deadline = settings.deadline
        let answers = Mutex<[Int: Result<AdminAnswer, CommandFailure>]>([:])
        let asked = settings.servers
        let access = settings.adminAccess
        DispatchQueue.concurrentPerform(iterations: asked.count) { number in
            let result = Self.ask(asked[number], path, access, deadline)
            answers.withLock { $0[number] = result }
        }
        results = answers.withLock { answers in
            asked.indices.compactMap { number in answers[number].map { (asked[number], $0) } }
        }
    }

    private static func ask(
        _ server: ServerAddress, _ path: String, _ access: AdminAccess, _ deadline: MonotonicTime
    ) -> Result<AdminAnswer, CommandFailure> {
        guard let admin = server.admin else {
            preconditionFailure("a server without an admin port")
        }
        return Result { () throws(CommandFailure) in
            let answer = try HTTPGet.perform(path, on: admin, by: access, deadline: deadline)
            if answer.statusCode == 401 {
                throw CommandFailure(
                    .refused,
                    "\(server) asks for its admin token; give it in MEMKV_ADMIN_TOKEN")
            }
            return AdminAnswer(server: server, statusCode: answer.statusCode, body: answer.body)
        }
    }

    /// Shows each answer; complains of the servers without one, and of those whose answer `show`
    /// can't use.
    func showEach(_ show: (AdminAnswer) throws(CommandFailure) -> Void) throws(CommandFailure) {
        var failures: [CommandFailure] = []
        for (_, result) in results {
            do throws(CommandFailure) {
                try show(try result.get())
            } catch {
                failures.append(error)
            }
        }
        guard let last = failures.popLast() else { return }
        for failure in failures { Terminal.complain(failure.message) }
        throw last
    }

    /// Each server that answered with 200, in their order; the others aren't complained of.
    var answers: [AdminAnswer] {
        results.compactMap { try? $0.result.get() }.filter { $0.statusCode == 200 }
    }

    /// Prints one server's answer as it is, several as one object.
    func printJSON() {
        if results.count == 1 {
            guard case .success(let answer) = results[0].result else { return }
            return Terminal.print(String(decoding: answer.body, as: UTF8.self))
        }
        let items = results.map { server, result in
            switch result {
            case .success(let answer):
                "\"\(server)\":" + String(decoding: answer.body, as: UTF8.self)
            case .failure(let failure):
                "\"\(server)\":{\"error\":" + Self.quoted(failure.message) + "}"
            }
        }
        Terminal.print("{" + items.joined(separator: ",") + "}")
    }

    private static func quoted(_ text: String) -> String {
        guard let data = try? JSONEncoder().encode(text) else {
            preconditionFailure("a text that is no JSON")
        }
        return String(decoding: data, as: UTF8.self)
    }
}
