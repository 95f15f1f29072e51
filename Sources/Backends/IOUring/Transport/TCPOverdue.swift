// Overdue connections: frames that don't become whole, and responses that nobody takes.
//
// Always holds: a request whose frame isn't whole by its deadline, or that waits for memory until
// then, ends its connection, and so does a peer that takes none of its response for a minute; their
// slabs and places go to the others. A request without a deadline has a minute, like everywhere.

#if IOUring

internal import Engine
internal import Wire

extension TCPTransport {
    /// How often connections are looked at.
    static var patrolMicroseconds: UInt64 { 100_000 }
    /// What a request without a deadline is given, and how long a response may stand still.
    private static var longestMicroseconds: UInt64 { 60_000_000 }

    /// Ends what is overdue; does nothing between two looks.
    func endOverdue(now: Instant) {
        guard nextPatrol <= now else { return }
        let isEmpty = connections.count == freeConnections.count
        nextPatrol = isEmpty ? .never : now.advanced(byMicroseconds: Self.patrolMicroseconds)
        for session in 0..<connections.count
        where connections[session].descriptor >= 0 && isOverdue(session, now: now) {
            counters.add(to: .overdueConnections)
            act(session, connections[session].machine.broken(), now: now)
        }
    }

    private func isOverdue(_ session: Int, now: Instant) -> Bool {
        let connection = connections[session]
        if connection.machine.state == .closed { return false }
        if connection.isSending,
            connection.sendingSince.advanced(byMicroseconds: Self.longestMicroseconds) <= now
        {
            return true
        }
        if let header = connection.waitingHeader {
            return dueTime(of: header, arrival: connection.waitingSince) <= now
        }
        guard connection.incoming != RequestEntry.none else { return false }
        let entry = connection.incoming
        return dueTime(of: entries[entry].header, arrival: entries[entry].arrival) <= now
    }

    private func dueTime(of header: FrameHeader, arrival: Instant) -> Instant {
        let given = UInt64(header.deadlineMicroseconds)
        return arrival.advanced(
            byMicroseconds: given == 0
                ? Self.longestMicroseconds : min(given, Self.longestMicroseconds))
    }
}

#endif
