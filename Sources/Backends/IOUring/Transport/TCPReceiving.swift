// The way in: from a session's bytes to whole requests.
//
// Always holds: bytes are used in the order in which they came: first what the window holds, then
// what is received straight into place; a session that waits has no receive in flight.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing
internal import Engine
internal import Glibc
internal import Ring
internal import Wire

/// ADDRESS:PORT of a connection's other end, for the log.
func peerName(_ descriptor: Int32) -> String {
    var text = [CChar](repeating: 0, count: Int(MEMKV_PEER_NAME_BYTES))
    guard unsafe memkv_peer_name(descriptor, &text, text.count) == 0 else { return "unknown" }
    let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
}

extension TCPTransport {
    /// Read ahead of a frame: a header, one key and its tags. A payload stands behind these, so
    /// none of its bytes is ever received anywhere but in its slabs.
    private func readAheadBytes(_ session: Int) -> UInt64 {
        var next = FrameHeader(
            operation: .tcpPut, requestID: 0, bodyBytes: BodyLayout.keyBytes, payloadBytes: 1)
        next.isSigned = connections[session].machine.isSigned
        return RequestMemory.headerBytes + UInt64(BodyLayout.keyBytes) + tagBytes(of: next, session)
    }

    /// What a refused peer may still send before the connection is reset.
    private static var lingerLimitBytes: UInt64 { 64 << 20 }

    /// Takes a session as far as its bytes allow, then has more received or leaves it waiting.
    func pump(_ session: Int, now: Instant) {
        while true {
            guard !connections[session].isReceiving else { return }
            switch connections[session].machine.state {
            case .header:
                guard connections[session].machine.mayTakeHeader else { return }
                guard connections[session].windowCount >= RequestMemory.headerBytes else {
                    receiveAhead(session, now: now)
                    return
                }
                act(session, takeHeader(session), now: now)
            case .receiving:
                if !takeFromWindow(session) {
                    receiveIntoPlace(session)
                    return
                }
                connections[session].phaseSince = .never
                act(session, completeFrame(session), now: now)
            case .lingering:
                connections[session].lingeredBytes += connections[session].windowCount
                connections[session].windowStart = 0
                connections[session].windowEnd = 0
                if connections[session].lingeredBytes > Self.lingerLimitBytes {
                    act(session, connections[session].machine.broken(), now: now)
                } else {
                    receiveAhead(session, now: now)
                }
                return
            case .waiting, .finishing, .closed: return
            }
        }
    }

    /// A receive ended.
    func received(_ session: Int, result: Int32, now: Instant) {
        connections[session].isReceiving = false
        let state = connections[session].machine.state
        if state == .closed {
            reclaim(session)
            return
        }
        if result == -EINTR || result == -EAGAIN {
            pump(session, now: now)
            return
        }
        guard result > 0 else {
            let held = Int(connections[session].windowCount)
            let action =
                result == 0
                ? connections[session].machine.peerClosed(bytesHeld: held)
                : connections[session].machine.broken()
            act(session, action, now: now)
            return
        }
        counters.add(UInt64(result), to: .bytesReceived)
        noteMove(session)
        switch state {
        case .header, .lingering: connections[session].windowEnd += UInt64(result)
        case .receiving: entries[connections[session].incoming].received += UInt64(result)
        case .waiting, .finishing, .closed:
            preconditionFailure("bytes came for a session in state \(state)")
        }
        pump(session, now: now)
    }

    /// Does what a session's machine decided.
    func act(_ session: Int, _ action: ServerSession.Action, now: Instant) {
        switch action {
        case .nothing: break
        case .receive: connections[session].phaseSince = now
        case .findRoom(let header):
            connections[session].phaseSince = now
            findEntry(session, header, now: now)
        case .deliver: deliver(session, now: now)
        case .readGreeting:
            counters.add(to: .connectRequests)
            act(session, greet(session), now: now)
        case .welcome(let version): welcome(session, version: version)
        case .challenge(let version): challenge(session, version: version)
        case .readProof: act(session, judgeProof(session), now: now)
        case .admit: admit(session)
        case .refuse(let header, let refusal): refuse(session, header, refusal)
        case .halfClose:
            connections[session].phaseSince = now
            shutdown(connections[session].descriptor, Int32(SHUT_WR))
            pump(session, now: now)
        case .close(let truncated):
            if truncated { counters.add(to: .truncatedFrames) }
            cutOff(session)
        case .closeForeign:
            counters.add(to: .refusedNotAFrame)
            cutOff(session)
        }
    }

    private func deliver(_ session: Int, now: Instant) {
        let entry = connections[session].incoming
        connections[session].incoming = RequestEntry.none
        counters.add(to: .requests)
        guard mayUse(entries[entry].header.namespace, session) else {
            forbid(entry)
            return
        }
        if offersQueuePair(entry, now: now) { return }
        enqueue(entry)
        deliveredSinceLook = true
    }

    // MARK: - Room

    private func findEntry(_ session: Int, _ header: FrameHeader, now: Instant) {
        guard entryWaiters.isEmpty, let entry = takeEntry(for: session, header: header, now: now)
        else {
            connections[session].waitingHeader = header
            entryWaiters.append(session)
            return
        }
        findRoom(session, entry, now: now)
    }

    /// Gives what became free to those who wait: in their order, but those who have their share
    /// already let the others pass.
    func serveWaiters(now: Instant) {
        for _ in 0..<slabWaiters.count {
            guard let session = slabWaiters.popFirst() else { break }
            if findSlabs(connections[session].incoming) {
                act(session, connections[session].machine.roomFound(), now: now)
                pump(session, now: now)
            } else {
                slabWaiters.append(session)
            }
        }
        for _ in 0..<entryWaiters.count where !freeEntries.isEmpty {
            guard let session = entryWaiters.popFirst() else { break }
            if grantEntry(session, now: now) {
                pump(session, now: now)
            } else {
                entryWaiters.append(session)
            }
        }
    }

    private func grantEntry(_ session: Int, now: Instant) -> Bool {
        let since = connections[session].phaseSince
        guard let header = connections[session].waitingHeader,
            let entry = takeEntry(for: session, header: header, now: since)
        else { return false }
        connections[session].waitingHeader = nil
        findRoom(session, entry, now: now)
        return true
    }

    /// Finds slabs for a request that has its entry, or has it wait for them.
    private func findRoom(_ session: Int, _ entry: Int, now: Instant) {
        connections[session].incoming = entry
        if slabWaiters.isEmpty || entries[entry].header.payloadBytes == 0, findSlabs(entry) {
            act(session, connections[session].machine.roomFound(), now: now)
        } else {
            slabWaiters.append(session)
        }
    }

    // MARK: - Bytes

    private func takeHeader(_ session: Int) -> ServerSession.Action {
        let start = memory.window(session).start.advanced(by: connections[session].windowStart)
        var words = InlineArray<8, UInt64>(repeating: 0)
        for index in 0..<8 {
            words[index] = arena.loadWord(start.advanced(by: UInt64(index) * 8))
        }
        connections[session].windowStart += RequestMemory.headerBytes
        if connections[session].machine.isSigned, !isGenuine(words, session) {
            return connections[session].machine.headerForged(words)
        }
        return connections[session].machine.headerArrived(words)
    }

    private func completeFrame(_ session: Int) -> ServerSession.Action {
        isGenuine(connections[session].incoming)
            ? connections[session].machine.frameComplete()
            : connections[session].machine.frameForged()
    }

    /// Moves what the window holds of the incoming frame into place. True when the frame is whole.
    private func takeFromWindow(_ session: Int) -> Bool {
        let entry = connections[session].incoming
        while entries[entry].received < entries[entry].incomingBytes {
            let held = connections[session].windowCount
            if held == 0 { return false }
            let target = place(entry, from: entries[entry].received, limit: held)
            let source = memory.window(session).start.advanced(by: connections[session].windowStart)
            arena.copy(from: source, to: target.start, length: target.length)
            connections[session].windowStart += target.length.rawValue
            entries[entry].received += target.length.rawValue
        }
        return true
    }

    /// The contiguous memory for the frame's bytes from `offset` of body, tags and payload on.
    private func place(_ entry: Int, from offset: UInt64, limit: UInt64) -> ArenaRange {
        let bodyBytes = entries[entry].bodyAndTagBytes
        if offset < bodyBytes {
            return memory.body(entry).part(
                at: offset, length: ByteCount(min(limit, bodyBytes - offset)))
        }
        let rest = entries[entry].incomingBytes - offset
        guard
            let range = entries[entry].inbound?.piece(
                at: offset - bodyBytes, limit: ByteCount(min(limit, rest)))
        else { preconditionFailure("a payload without slabs") }
        return range
    }

    /// Has the window filled behind the bytes it holds.
    private func receiveAhead(_ session: Int, now: Instant) {
        let window = memory.window(session)
        let held = connections[session].windowCount
        if connections[session].machine.state == .header {
            if held == 0 {
                connections[session].phaseSince = .never
            } else if connections[session].phaseSince == .never {
                connections[session].phaseSince = now
            }
        }
        if connections[session].windowStart > 0 {
            arena.copy(
                from: window.start.advanced(by: connections[session].windowStart), to: window.start,
                length: ByteCount(held))
            connections[session].windowStart = 0
            connections[session].windowEnd = held
        }
        let reach =
            connections[session].machine.state == .lingering
            ? RequestMemory.windowBytes : readAheadBytes(session)
        let room = window.part(at: held, length: ByteCount(reach - held))
        connections[session].isReceiving = true
        unsafe shard.ring.receive(
            connections[session].descriptor, into: arena.bytes(room),
            userData: receiveUserData(session))
    }

    /// Has the next piece of the incoming frame received where it belongs.
    private func receiveIntoPlace(_ session: Int) {
        let entry = connections[session].incoming
        let message = 2 * session
        vectors.clear(message)
        var offset = entries[entry].received
        let end = min(entries[entry].incomingBytes, offset + pieceBytes)
        while offset < end, vectors.room(message) > 0 {
            let range = place(entry, from: offset, limit: end - offset)
            unsafe vectors.append(arena.bytes(range), to: message)
            offset += range.length.rawValue
        }
        connections[session].isReceiving = true
        shard.ring.receiveWhole(
            connections[session].descriptor, vectors, message, userData: receiveUserData(session))
    }
}

#endif
