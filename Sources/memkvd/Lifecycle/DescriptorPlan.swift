// DescriptorPlan: as many sessions as there can be open descriptors.
//
// Always holds: drives, rings and the admin endpoint have descriptors of their own, which no
// session takes. Refuses a process that may not have a single session.

#if IOUring

internal import Engine

/// What the limit of open descriptors allows.
struct DescriptorPlan: Sendable {
    /// Those that were configured, or as many as there are descriptors for.
    let limits: SessionLimits
    /// A sentence for the operator when there are too few; nil when there are enough.
    let shortage: String?

    /// For rings, the listener, the log, and the admin endpoint with its connections.
    private static let others = 128

    /// Raises the process's limit to what `limits` and `driveCount` drives need.
    init(limits: SessionLimits, driveCount: Int) throws(StartFailure) {
        let reserved = Self.others + driveCount
        let available: Int
        do throws(SystemFailure) {
            available = try SystemCalls.raiseDescriptorLimit(to: limits.sessions + reserved)
        } catch {
            throw StartFailure(code: .failed, message: error.description)
        }
        let sessions = available - reserved
        var allowed = limits
        if sessions >= limits.sessions {
            self.limits = allowed
            shortage = nil
            return
        }
        guard sessions > 0 else {
            throw StartFailure(
                code: .failed,
                message:
                    "\(available) open descriptors are too few: \(reserved) are needed besides "
                    + "those of sessions. Raise the limit (ulimit -n, LimitNOFILE=)")
        }
        allowed.sessions = sessions
        allowed.sessionsPerAddress = min(allowed.sessionsPerAddress, sessions)
        self.limits = allowed
        shortage =
            "\(available) open descriptors are allowed, so there can be \(sessions) sessions and "
            + "not \(limits.sessions); raise the limit (ulimit -n, LimitNOFILE=) to "
            + "\(limits.sessions + reserved), or lower network.limits.sessions"
    }
}

#endif
