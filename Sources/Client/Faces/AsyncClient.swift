// AsyncClient: the client for concurrent callers: its core runs on one thread of its own, and each
// call, a batch above all, is one continuation.
//
// Always holds: a call returns by its deadline and a little; until then its memory is used, after
// it not. A call isn't ended by the cancellation of its task: its deadline is what bounds it.
// Checksums of values are computed by the caller's thread. The thread ends with `close`, or when
// the client goes.

internal import Wire

package final class AsyncClient: Sendable {
    private let driver: ClientDriver

    package init(_ configuration: ClientConfiguration) {
        driver = ClientDriver(configuration)
        driver.start()
    }

    deinit { driver.close() }

    /// Ends every call that is under way and the thread.
    package func close() { driver.close() }

    /// Performs one request, over as many servers as its keys belong to.
    package func perform(
        _ request: ClientRequest, deadline: MonotonicTime, policy: RequestPolicy = RequestPolicy()
    ) async throws(SubmitError) -> RequestOutcome {
        let checksums = request.values.map(\.xxh3)
        let result = await withCheckedContinuation { continuation in
            driver.add(
                ClientDriver.Call(
                    request: request, checksums: checksums, deadline: deadline, policy: policy,
                    continuation: continuation))
        }
        return try result.get()
    }
}
