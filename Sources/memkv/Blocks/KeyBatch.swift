// KeyBatch: a command over many keys, in batches as large as the server takes; one line or JSON
// item a key.

import Client
import Wire

struct KeyBatch {
    let keys: [String]
    /// What `ok` and `notFound` are called in the output.
    let words: (found: String, missing: String)

    private struct Item: Encodable {
        let name: String
        let key: String
        let outcome: String
    }

    /// Ends with `difference` when a key is missing, with the item's own code when one failed.
    func run(
        _ settings: Settings,
        _ operation: (TCPConnection, [BlockKey], MonotonicTime) throws(ClientError) ->
            [OutcomeStatus]
    ) throws {
        let connection = try settings.connect()
        let step = Int(connection.limits.batchLimit)
        var items: [Item] = []
        var worst: CommandFailure?
        for start in stride(from: 0, to: keys.count, by: step) {
            let names = keys[start..<min(start + step, keys.count)]
            let blockKeys = try names.map(settings.key)
            let statuses: [OutcomeStatus]
            do {
                statuses = try operation(connection, blockKeys, settings.deadline)
            } catch {
                throw CommandFailure(
                    error, subject: "keys \(start + 1) to \(start + names.count)",
                    lost: connection.failure)
            }
            for (name, (key, status)) in zip(names, zip(blockKeys, statuses)) {
                items.append(Item(name: name, key: key.hexadecimal, outcome: word(for: status)))
                worst = worse(worst, failure(name, status))
            }
        }
        if settings.json {
            try Terminal.json(items)
        } else {
            for item in items { print("\(item.outcome)  \(item.name)") }
        }
        if let worst { throw worst }
    }

    private func word(for status: OutcomeStatus) -> String {
        switch status {
        case .ended(.ok): words.found
        case .ended(.notFound): words.missing
        case .ended(let status): "\(status)"
        default: "failed"
        }
    }

    /// What one item's status does to the command's end; a miss says nothing beyond its line.
    private func failure(_ name: String, _ status: OutcomeStatus) -> CommandFailure? {
        guard case .ended(let status) = status, status != .ok else { return nil }
        if status == .notFound { return CommandFailure(.difference, "") }
        return CommandFailure(
            CommandFailure.exitStatus(for: status),
            "\(name): \(CommandFailure.sentence(for: status))")
    }

    private func worse(_ left: CommandFailure?, _ right: CommandFailure?) -> CommandFailure? {
        guard let left, let right else { return left ?? right }
        return right.status.rawValue > left.status.rawValue ? right : left
    }
}
