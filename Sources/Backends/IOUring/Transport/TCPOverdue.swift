// Overdue connections and requests: what has begun must end in time.
//
// Always holds: a connection that hasn't finished Connect, a header or frame that has begun, a
// request that waits for room, a response that isn't taken, and a refused peer that doesn't go,
// each ends its connection at its deadline, counted by which it was; their memory goes to the
// others. While somebody who has nothing waits for memory, a response has `scarcePatience` to
// leave: what stuck sessions have taken one after the other, each no more than its share when it
// came, comes back. A whole request that the engine hasn't taken by its deadline is answered so. A
// greeted session between two frames may be silent for ever.

#if IOUring

internal import Engine
internal import Wire

extension TCPTransport {
    /// How often connections are looked at.
    static var patrolMicroseconds: UInt64 { 100_000 }
    /// The least speed at which a response leaves while others go without memory.
    private static var scarceBytesPerMicrosecond: UInt64 { 8 }
    /// A wait for memory that is longer isn't a turn in a queue any more.
    private static var longTurnMicroseconds: UInt64 { 200_000 }
    /// What a request without a deadline is given.
    static var longestRequestMicroseconds: UInt64 { 60_000_000 }

    /// Ends what is overdue; does nothing between two looks.
    func endOverdue(now: Instant) {
        guard nextPatrol <= now else { return }
        beginPeriod()
        let isEmpty = connections.count == freeConnections.count
        nextPatrol = isEmpty ? .never : now.advanced(byMicroseconds: Self.patrolMicroseconds)
        let isScarce = isSomebodyLeftOut(now: now)
        for session in 0..<connections.count where connections[session].descriptor >= 0 {
            let patience =
                isScarce ? scarcePatience(session) : limits.responseMicroseconds
            guard let reason = overdue(session, patience: patience, now: now) else { continue }
            counters.add(to: reason)
            act(session, connections[session].machine.broken(), now: now)
        }
        for entry in 0..<limits.requests
        where entries[entry].state == .ready && dueTime(of: entry) <= now {
            counters.add(to: .overdueRequests)
            removeReady(entry)
            releaseInbound(entry)
            let request = entries[entry].header
            answer(
                entry,
                FrameHeader(
                    operation: request.operation, isResponse: true, status: .deadlineExceeded,
                    namespace: request.namespace, requestID: request.requestID))
        }
    }

    /// Microseconds that a session's response may take while others go without memory: a second,
    /// and its bytes at the least speed.
    private func scarcePatience(_ session: Int) -> UInt64 {
        let first = connections[session].firstResponse
        let bytes = first == RequestEntry.none ? 0 : entries[first].outgoingBytes
        return min(limits.responseMicroseconds, 1_000_000 + bytes / Self.scarceBytesPerMicrosecond)
    }

    /// Whether a session that holds nothing has waited for a request's place or for slabs, and not
    /// only for its turn.
    private func isSomebodyLeftOut(now: Instant) -> Bool {
        for session in 0..<connections.count where connections[session].descriptor >= 0 {
            guard connections[session].heldSlabs == 0 else { continue }
            if connections[session].machine.state == .waiting,
                connections[session].machine.outstanding == 1,
                isOver(connections[session].phaseSince, Self.longTurnMicroseconds, now)
            {
                return true
            }
            let first = connections[session].firstReady
            if first != RequestEntry.none, connections[session].scheduling.requestsInEngine == 0,
                isOver(entries[first].arrival, Self.longTurnMicroseconds, now)
            {
                return true
            }
        }
        return false
    }

    /// What a connection must be ended for, where a response may be stuck for `patience`
    /// microseconds; nil for nothing.
    private func overdue(_ session: Int, patience: UInt64, now: Instant) -> TransportCounter? {
        let state = connections[session].machine.state
        let phaseSince = connections[session].phaseSince
        switch state {
        case .closed: return nil
        case .header:
            if connections[session].isReceiving,
                isOver(phaseSince, limits.headerMicroseconds, now)
            {
                return .overdueHeaders
            }
        case .waiting:
            if let header = connections[session].waitingHeader {
                if dueTime(of: header, arrival: phaseSince) <= now { return .overdueWaits }
            } else if dueTime(of: connections[session].incoming) <= now {
                return .overdueWaits
            }
        case .receiving:
            if isOver(phaseSince, limits.frameMicroseconds, now)
                || dueTime(of: connections[session].incoming) <= now
            {
                return .overdueFrames
            }
        case .finishing: break
        case .lingering:
            return isOver(phaseSince, limits.responseMicroseconds, now) ? .overdueFarewells : nil
        }
        if isOver(connections[session].sendingSince, patience, now) {
            return .overdueResponses
        }
        if !connections[session].machine.isGreeted, state != .finishing,
            isOver(connections[session].openedAt, limits.halfOpenMicroseconds, now)
        {
            return .overdueGreetings
        }
        return nil
    }

    private func isOver(_ start: Instant, _ microseconds: UInt64, _ now: Instant) -> Bool {
        start != .never && start.advanced(byMicroseconds: microseconds) <= now
    }

    /// When the request of `entry` must be answered.
    func dueTime(of entry: Int) -> Instant {
        dueTime(of: entries[entry].header, arrival: entries[entry].arrival)
    }

    private func dueTime(of header: FrameHeader, arrival: Instant) -> Instant {
        let given = UInt64(header.deadlineMicroseconds)
        return arrival.advanced(
            byMicroseconds: given == 0
                ? Self.longestRequestMicroseconds : min(given, Self.longestRequestMicroseconds))
    }
}

#endif
