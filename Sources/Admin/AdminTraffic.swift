// AdminTraffic: how often each path of the admin endpoint was asked for.
//
// Always holds: there are as many counts as known paths and one for all others, whatever is asked,
// so that nobody can make the metrics grow.

private import Synchronization

/// The paths that the endpoint answers.
enum AdminPath: String, CaseIterable, Sendable {
    case health = "/v1/health"
    case ready = "/v1/ready"
    case status = "/v1/status"
    case metrics = "/v1/metrics"
    /// Everything else.
    case other
}

final class AdminTraffic: Sendable {
    private let counts = Mutex<[AdminPath: UInt64]>([:])

    func note(_ path: AdminPath) { counts.withLock { $0[path, default: 0] += 1 } }

    /// Every path, also those that nobody asked for.
    var requests: [(path: AdminPath, count: UInt64)] {
        counts.withLock { counts in AdminPath.allCases.map { ($0, counts[$0] ?? 0) } }
    }
}
