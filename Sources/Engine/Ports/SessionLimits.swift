// SessionLimits: what clients may have and how long they may take, for every transport of a daemon.
//
// Always holds: with these limits a transport's memory follows from the limits alone, however many
// clients there are and whatever they do. Checked against each other in `contradiction`.

/// The limits of sessions, fixed at start. Durations are in microseconds.
package struct SessionLimits: Hashable, Sendable {
    /// Connections of the whole daemon at once.
    package var sessions = 1024
    /// Connections at once from one address (IPv4), or from one network of 64 bits (IPv6).
    package var sessionsPerAddress = 256
    /// Requests of all sessions of one shard, from their header's arrival until their response has
    /// left.
    package var requests = 512
    /// Requests of one session; at this many it isn't read from until a response has left.
    package var requestsPerSession = 64
    /// Payload bytes that one session may hold, requests and responses together, in whole slabs.
    package var bytesPerSession: UInt64 = 64 << 20
    /// Longest payload of a frame, in either direction.
    package var payloadLimitBytes: UInt32 = 16 << 20
    /// Most items of one batch.
    package var batchLimit: UInt32 = 256
    /// From accepting a connection until its Connect is answered.
    package var halfOpenMicroseconds: UInt64 = 10_000_000
    /// From a header's first byte to its last.
    package var headerMicroseconds: UInt64 = 10_000_000
    /// For body and payload, from the moment there is room for them.
    package var frameMicroseconds: UInt64 = 30_000_000
    /// For the peer to take one response, and to close once nothing more follows.
    package var responseMicroseconds: UInt64 = 60_000_000

    package init() {}

    /// Most sessions: with more, the operations in flight could outnumber a ring's completions.
    package static let mostSessions = 30_000
    package static let mostRequests = 65_536
    package static let smallestPayloadBytes: UInt64 = 64 << 10
    package static let shortestMicroseconds: UInt64 = 100_000
    package static let longestMicroseconds: UInt64 = 3_600_000_000

    /// Two limits that can't both hold.
    package struct Contradiction: Error, Hashable, Sendable {
        package enum Field: Hashable, Sendable {
            case sessionsPerAddress, requestsPerSession, bytesPerSession
        }
        /// The one to change.
        package let field: Field
        package let problem: String
    }

    /// The first two limits that can't both hold; nil when all can.
    package var contradiction: Contradiction? {
        if sessionsPerAddress > sessions {
            return Contradiction(
                field: .sessionsPerAddress,
                problem: "\(sessionsPerAddress) of one address are more than the \(sessions) "
                    + "sessions of all")
        }
        if requestsPerSession > requests {
            return Contradiction(
                field: .requestsPerSession,
                problem: "\(requestsPerSession) of one session are more than the \(requests) "
                    + "requests of all")
        }
        if bytesPerSession < UInt64(payloadLimitBytes) {
            return Contradiction(
                field: .bytesPerSession,
                problem: "\(bytesPerSession) bytes don't hold one payload of "
                    + "\(payloadLimitBytes) bytes")
        }
        return nil
    }
}
