// Blocking calls, of one connection or of a client: one request each, an error instead of a status.
//
// Always holds: a call returns normally only for `ok`; of a batch, each item has its own status.

package import Wire

/// Why a blocking call didn't end with `ok`.
package enum ClientError: Error, Hashable, Sendable {
    /// The server's status, or the client's own for the same: a miss is `.ended(.notFound)`.
    case ended(Status)
    case bufferTooSmall(neededBytes: UInt32)
    /// The connection broke; nothing was changed by this call.
    case connectionLost
    /// The server can't be reached; nothing was changed by this call.
    case serverUnavailable
    case notTaken(SubmitError)

    /// Nil for `ok`.
    package init?(_ status: OutcomeStatus) {
        switch status {
        case .ended(.ok): return nil
        case .ended(let status): self = .ended(status)
        case .bufferTooSmall(let needed): self = .bufferTooSmall(neededBytes: needed)
        case .connectionLost: self = .connectionLost
        case .serverUnavailable: self = .serverUnavailable
        }
    }
}

/// Whoever performs one request at a time.
package protocol BlockingPerformer {
    /// Submits one request and waits for it. Nothing else may be outstanding.
    func perform(
        _ request: ClientRequest, deadline: MonotonicTime
    ) throws(SubmitError) -> RequestOutcome
}

extension BlockingPerformer {
    /// Stores `value` durably under `key`.
    package func put(
        _ key: BlockKey, _ value: SourceBytes, deadline: MonotonicTime
    ) throws(ClientError) {
        _ = try call(.put(PutItem(key: key, value: value)), deadline: deadline)
    }

    /// Fetches and verifies `key`'s value; returns its length. Without `ok` the memory is
    /// undefined.
    package func get(
        _ key: BlockKey, into destination: DestinationBytes, deadline: MonotonicTime
    ) throws(ClientError) -> Int {
        let item = GetItem(key: key, destination: destination)
        return Int(try call(.get(item), deadline: deadline).valueBytes)
    }

    /// Deletes `key`; `.ended(.notFound)` when there was nothing.
    package func delete(_ key: BlockKey, deadline: MonotonicTime) throws(ClientError) {
        _ = try call(.delete(key), deadline: deadline)
    }

    /// What the store knows of `key`, without reading its value.
    package func stat(
        _ key: BlockKey, deadline: MonotonicTime
    ) throws(ClientError) -> BlockFacts {
        guard let facts = try call(.stat(key), deadline: deadline).facts else {
            preconditionFailure("a stat that is ok and says nothing")
        }
        return facts
    }

    /// A status for each key: `ok` when it is there, `notFound` when it isn't.
    package func exists(
        _ keys: [BlockKey], deadline: MonotonicTime
    ) throws(ClientError) -> [OutcomeStatus] {
        try call(.exists(keys), deadline: deadline).items.map(\.status)
    }

    /// Stores several values; a status for each.
    package func putBatch(
        _ items: [PutItem], deadline: MonotonicTime
    ) throws(ClientError) -> [OutcomeStatus] {
        try call(.putBatch(items), deadline: deadline).items.map(\.status)
    }

    /// Fetches several values, each into its own memory.
    package func getBatch(
        _ items: [GetItem], deadline: MonotonicTime
    ) throws(ClientError) -> [ItemOutcome] {
        try call(.getBatch(items), deadline: deadline).items
    }

    /// Deletes several keys; a status for each.
    package func deleteBatch(
        _ keys: [BlockKey], deadline: MonotonicTime
    ) throws(ClientError) -> [OutcomeStatus] {
        try call(.deleteBatch(keys), deadline: deadline).items.map(\.status)
    }

    private func call(
        _ request: ClientRequest, deadline: MonotonicTime
    ) throws(ClientError) -> RequestOutcome {
        let outcome: RequestOutcome
        do {
            outcome = try perform(request, deadline: deadline)
        } catch {
            throw .notTaken(error)
        }
        if let error = ClientError(outcome.status) { throw error }
        return outcome
    }
}
