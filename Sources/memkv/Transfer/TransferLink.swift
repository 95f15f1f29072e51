// TransferLink: what one thread of a transfer performs its requests with: a client of all servers
// that waits for those that are away, as long as the transfer as a whole gets on.
//
// Always holds: every outcome given is final: what trying again could change was tried again until
// nothing got done for the transfer's timeout. Puts may be repeated: what is stored here is named
// by its own content, so that doing it twice is doing it once. Refuses (with the last reason):
// going on after that.

import Client
import Wire

final class TransferLink {
    private let client: BlockingClient
    private let clock: ProgressClock

    private static let policy = RequestPolicy(
        downServer: .waitUntilDeadline, putsMayBeRepeated: true)

    init(_ client: BlockingClient, clock: ProgressClock) {
        self.client = client
        self.clock = clock
    }

    /// Performs all `requests`, pipelined; returns their outcomes in the same order.
    func perform(_ requests: [ClientRequest]) throws(CommandFailure) -> [RequestOutcome] {
        var outcomes = [RequestOutcome?](repeating: nil, count: requests.count)
        while true {
            let waiting = outcomes.indices.filter { outcomes[$0] == nil }
            if waiting.isEmpty { break }
            let problem = try performOnce(requests, waiting, to: &outcomes)
            if let problem, BlockingClient.now >= clock.giveUpAt || hasWrongKey { throw problem }
        }
        return outcomes.compactMap { $0 }
    }

    /// Waiting wouldn't help.
    private var hasWrongKey: Bool {
        client.configuration.servers.indices.contains {
            client.problem(of: ServerNumber($0))?.isLasting == true
        }
    }

    /// One round, until the deadline as it is now; returns why something is left to do.
    private func performOnce(
        _ requests: [ClientRequest], _ indices: [Int], to outcomes: inout [RequestOutcome?]
    ) throws(CommandFailure) -> CommandFailure? {
        var tags: [RequestTag: Int] = [:]
        var problem: CommandFailure?
        for index in indices {
            do {
                let tag = try client.submit(
                    requests[index], deadline: clock.giveUpAt, policy: Self.policy)
                tags[tag] = index
            } catch {
                throw CommandFailure(.refused, "\(error)")
            }
        }
        while let outcome = client.nextOutcome() {
            guard let index = tags.removeValue(forKey: outcome.tag) else {
                preconditionFailure("an outcome of a request that wasn't submitted")
            }
            if let reason = reasonToRetry(outcome, of: requests[index]) {
                problem = reason
            } else {
                outcomes[index] = outcome
                clock.tick()
            }
        }
        return problem
    }

    /// Why the request, or one of its items, isn't done; nil when trying again can't change it.
    private func reasonToRetry(
        _ outcome: RequestOutcome, of request: ClientRequest
    ) -> CommandFailure? {
        let statuses = outcome.items.isEmpty ? [outcome.status] : outcome.items.map(\.status)
        for (key, status) in zip(request.keys, statuses) {
            switch status {
            case .serverUnavailable, .connectionLost, .ended(.outcomeUnknown),
                .ended(.deadlineExceeded):
                return CommandFailure(unavailable: key, by: client)
            case .ended(.busy), .ended(.shuttingDown):
                guard let error = ClientError(status) else { continue }
                return CommandFailure(error, subject: "a block", key: key, by: client)
            default: continue
            }
        }
        return nil
    }
}
