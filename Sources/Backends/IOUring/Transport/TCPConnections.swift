// How connections come, and how they go.
//
// Always holds: a connection has a place in the daemon's budget from its acceptance until the
// kernel has let go of it; one too many is closed at once and counted by which limit it met.

#if IOUring

internal import Engine
internal import Glibc
internal import Ring
internal import Wire

extension TCPTransport {
    /// Pause after an accept that failed for want of descriptors or memory.
    private static var acceptPauseMicroseconds: UInt64 { 100_000 }

    func accept() {
        isAccepting = true
        acceptRetry = .never
        shard.ring.acceptMany(listener.descriptor, userData: userData(.accept, 0))
    }

    func accepted(_ result: Int32, hasMore: Bool, now: Instant) {
        isAccepting = hasMore
        if result >= 0 {
            if isListening { open(result, now: now) } else { close(result) }
        } else if isListening {
            counters.add(to: .failedAccepts)
        }
        guard isListening, !isAccepting else { return }
        // Out of descriptors or memory, another try at once would fail at once.
        let isExhausted = [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(-result)
        if isExhausted {
            acceptRetry = now.advanced(byMicroseconds: Self.acceptPauseMicroseconds)
        } else {
            accept()
        }
    }

    private func open(_ descriptor: Int32, now: Instant) {
        guard let address = prepareConnection(descriptor) else {
            // Broken already.
            counters.add(to: .failedAccepts)
            close(descriptor)
            return
        }
        switch budget.admit(address) {
        case .admitted: break
        case .everyPlaceTaken:
            refuseConnection(descriptor, .refusedConnections)
            return
        case .addressHasItsShare:
            refuseConnection(descriptor, .refusedAddresses)
            return
        }
        guard let session = freeConnections.popFirst() else {
            preconditionFailure("a budget of more sessions than a transport's table holds")
        }
        nextPatrol = min(nextPatrol, now.advanced(byMicroseconds: Self.patrolMicroseconds))
        openedConnections += 1
        connections[session] = Connection(
            descriptor: descriptor, serial: openedConnections,
            machine: ServerSession(
                limits: frameLimits, outstandingLimit: limits.requestsPerSession),
            address: address, openedAt: now)
        counters.add(to: .acceptedConnections)
        counters.set(
            .activeConnections, to: UInt64(connections.count - freeConnections.count))
        pump(session, now: now)
    }

    private func refuseConnection(_ descriptor: Int32, _ reason: TransportCounter) {
        counters.add(to: reason)
        close(descriptor)
    }

    /// Lets go of a closed session's things, once the kernel has.
    func reclaim(_ session: Int) {
        guard connections[session].machine.state == .closed, connections[session].descriptor >= 0,
            !connections[session].isReceiving, !connections[session].isSending
        else { return }
        if connections[session].incoming != RequestEntry.none {
            free(connections[session].incoming)
        }
        var response = connections[session].firstResponse
        while response != RequestEntry.none {
            let next = entries[response].next
            free(response)
            response = next
        }
        close(connections[session].descriptor)
        forgetKeys(session)
        budget.leave(connections[session].address)
        connections[session] = Connection(machine: connections[session].machine)
        freeConnections.append(session)
        counters.set(
            .activeConnections, to: UInt64(connections.count - freeConnections.count))
    }

    /// Cuts a closed session off: its requests' responses will go nowhere.
    func cutOff(_ session: Int) {
        entryWaiters.removeAll { $0 == session }
        slabWaiters.removeAll { $0 == session }
        dirty.removeAll { $0 == session }
        connections[session].isDirty = false
        for entry in 0..<limits.requests where entries[entry].session == session {
            switch entries[entry].state {
            case .ready:
                removeReady(entry)
                free(entry)
            case .taken: entries[entry].state = .orphaned
            case .free, .receiving, .orphaned, .answered: break
            }
        }
        queuePairs?.sessionEnded(name(of: session))
        // Ends what is in flight, with an error; the descriptor itself stays until it has ended.
        shutdown(connections[session].descriptor, Int32(SHUT_RDWR))
        reclaim(session)
    }
}

#endif
