// The calls of an AsyncClient by operation: one continuation each, an error instead of a status.
//
// Always holds: a call returns normally only when its request was taken; of a batch, each item has
// its own status, and items of servers that are down cost the others nothing.

package import Wire

extension AsyncClient {
    /// Stores `value` durably under `key`.
    package func put(
        _ key: BlockKey, _ value: SourceBytes, deadline: MonotonicTime,
        policy: RequestPolicy = RequestPolicy()
    ) async throws(ClientError) {
        let item = PutItem(key: key, value: value)
        _ = try await call(.put(item), deadline: deadline, policy: policy)
    }

    /// Fetches and verifies `key`'s value; returns its length. Without that the memory is
    /// undefined.
    package func get(
        _ key: BlockKey, into destination: DestinationBytes, deadline: MonotonicTime,
        policy: RequestPolicy = RequestPolicy()
    ) async throws(ClientError) -> Int {
        let item = GetItem(key: key, destination: destination)
        let outcome = try await call(.get(item), deadline: deadline, policy: policy)
        return Int(outcome.valueBytes)
    }

    /// A status for each key: `ok` when it is there, `notFound` when it isn't.
    package func exists(
        _ keys: [BlockKey], deadline: MonotonicTime, policy: RequestPolicy = RequestPolicy()
    ) async throws(ClientError) -> [OutcomeStatus] {
        try await call(.exists(keys), deadline: deadline, policy: policy).items.map(\.status)
    }

    /// Stores several values; a status for each.
    package func put(
        _ items: [PutItem], deadline: MonotonicTime, policy: RequestPolicy = RequestPolicy()
    ) async throws(ClientError) -> [OutcomeStatus] {
        try await call(.putBatch(items), deadline: deadline, policy: policy).items.map(\.status)
    }

    /// Fetches several values, each into its own memory.
    package func get(
        _ items: [GetItem], deadline: MonotonicTime, policy: RequestPolicy = RequestPolicy()
    ) async throws(ClientError) -> [ItemOutcome] {
        try await call(.getBatch(items), deadline: deadline, policy: policy).items
    }

    /// Deletes several keys; a status for each.
    package func delete(
        _ keys: [BlockKey], deadline: MonotonicTime, policy: RequestPolicy = RequestPolicy()
    ) async throws(ClientError) -> [OutcomeStatus] {
        try await call(.deleteBatch(keys), deadline: deadline, policy: policy).items
            .map(\.status)
    }

    private func call(
        _ request: ClientRequest, deadline: MonotonicTime, policy: RequestPolicy
    ) async throws(ClientError) -> RequestOutcome {
        let outcome: RequestOutcome
        do {
            outcome = try await perform(request, deadline: deadline, policy: policy)
        } catch {
            throw .notTaken(error)
        }
        if let error = ClientError(outcome.status) { throw error }
        return outcome
    }
}
