// ServerHealth: the one word for how a server is, from how its drives and its RDMA are. The
// rules stand in Docs/drive-states.md.
//
// Always holds: a pure function; the order of the drives doesn't matter; a drive that is worse
// never makes the server better.

package import Engine

/// How a server is.
package enum ServerHealth: String, Sendable {
    /// Every drive serves, and none is impaired.
    case healthy
    /// Something is lost or slow, and something serves: to be looked at, not to be restarted.
    case degraded
    /// Nothing serves.
    case unhealthy

    /// `unhealthy` when every drive is offline or absent; `degraded` when some are, or some are
    /// impaired, or RDMA that was asked for isn't all there: then clients go over TCP. A drive that
    /// is recovering is not missing: a prober must not end a server in the middle of its recovery.
    package init(drives: [DriveCondition], isRDMAImpaired: Bool = false) {
        let missing = drives.count { $0.isMissing }
        if missing == drives.count {
            self = .unhealthy
        } else if missing > 0 || isRDMAImpaired || drives.contains(where: \.isDegraded) {
            self = .degraded
        } else {
            self = .healthy
        }
    }

    /// 200, or 503 when a prober should act.
    var statusCode: Int { self == .unhealthy ? 503 : 200 }
}

extension DriveCondition {
    /// Offline or absent: its blocks can't be had.
    var isMissing: Bool { state == .offline || state == .absent }
}
