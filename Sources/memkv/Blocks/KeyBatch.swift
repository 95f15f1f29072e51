// KeyBatch: a command over many keys, on as many servers as they belong to; one line or JSON item a
// key.

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
        _ operation: (BlockingClient, [BlockKey], MonotonicTime) throws(ClientError) ->
            [OutcomeStatus]
    ) throws {
        let client = settings.client()
        let blockKeys = try keys.map(settings.key)
        let statuses: [OutcomeStatus]
        do {
            statuses = try operation(client, blockKeys, settings.deadline)
        } catch {
            throw CommandFailure(
                error, subject: "\(keys.count) keys", key: blockKeys[0], by: client)
        }
        var items: [Item] = []
        var worst: CommandFailure?
        for (name, (key, status)) in zip(keys, zip(blockKeys, statuses)) {
            items.append(Item(name: name, key: key.hexadecimal, outcome: word(for: status)))
            worst = worse(worst, failure(name, key, status, client))
        }
        if settings.json {
            try Terminal.json(items)
        } else {
            for item in items { Terminal.print("\(item.outcome)  \(item.name)") }
        }
        if let worst { throw worst }
    }

    private func word(for status: OutcomeStatus) -> String {
        switch status {
        case .ended(.ok): words.found
        case .ended(.notFound): words.missing
        case .ended(let status): "\(status)"
        case .serverUnavailable: "unreachable"
        case .bufferTooSmall, .connectionLost: "failed"
        }
    }

    /// What one item's status does to the command's end; a miss says nothing beyond its line.
    private func failure(
        _ name: String, _ key: BlockKey, _ status: OutcomeStatus, _ client: BlockingClient
    ) -> CommandFailure? {
        guard let error = ClientError(status) else { return nil }
        if error == .ended(.notFound) { return CommandFailure(.difference, "") }
        return CommandFailure(error, subject: name, key: key, by: client)
    }

    private func worse(_ left: CommandFailure?, _ right: CommandFailure?) -> CommandFailure? {
        guard let left, let right else { return left ?? right }
        return right.status.rawValue > left.status.rawValue ? right : left
    }
}
