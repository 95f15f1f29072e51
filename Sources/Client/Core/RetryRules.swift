// RetryRules: which answers end an item and which are tried again. Docs/client.md has them as a
// table.
//
// Always holds: a change that may have been carried out is never sent again unless the caller said
// that its puts may be, and never called failed: it is ok, or its outcome is unknown.

internal import Wire

/// Why an item is sent again.
enum RetryReason: Hashable {
    /// The connection broke, and the store wasn't changed.
    case connectionLost
    /// The connection broke or time passed, and the put may have been carried out.
    case mayHaveHappened
    /// The server refused for now, and nothing was changed.
    case refused(Status)
    /// The bytes arrived damaged.
    case damaged
    /// A batch's answer had no more room for the value.
    case noRoom
}

enum RetryDecision: Hashable {
    case final(OutcomeStatus)
    case again(RetryReason)
}

enum RetryRules {
    /// Times that damaged bytes are asked for, or sent, anew.
    static let damagedRetries = 2

    static func decide(
        _ status: OutcomeStatus, of part: Part, _ request: ClientRequest, _ policy: RequestPolicy
    ) -> RetryDecision {
        switch status {
        case .connectionLost:
            return .again(.connectionLost)
        case .ended(.busy), .ended(.shuttingDown):
            guard case .ended(let status) = status else { break }
            return .again(.refused(status))
        case .ended(.outcomeUnknown) where policy.putsMayBeRepeated && request.isPut:
            return .again(.mayHaveHappened)
        case .ended(.checksumMismatch) where part.damagedCount < damagedRetries:
            return .again(.damaged)
        case .ended(.tooLarge) where request.isBatchGet && part.items.count > 1:
            return .again(.noRoom)
        default: break
        }
        return .final(ending(status, of: part))
    }

    /// What an item is told that ends with `status`, after everything that was tried before.
    static func ending(_ status: OutcomeStatus, of part: Part) -> OutcomeStatus {
        part.mayHaveHappened && status != .ok ? .ended(.outcomeUnknown) : status
    }

    /// What an item is told whose deadline passes while it isn't with a server.
    static func overdue(_ part: Part, serverIsDown: Bool) -> OutcomeStatus {
        if part.mayHaveHappened { return .ended(.outcomeUnknown) }
        if let refusal = part.lastRefusal { return .ended(refusal) }
        return serverIsDown ? .serverUnavailable : .ended(.deadlineExceeded)
    }
}
