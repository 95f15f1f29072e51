// The way out: from answers to bytes on the wire.
//
// Always holds: a session's responses leave in the order in which they were given, several in one
// message; a response's memory is kept until its last byte has been taken by the kernel.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing
internal import Engine
internal import Glibc
internal import Ring
internal import Wire

extension TCPTransport {
    /// Writes an entry's response header and puts it behind its session's other responses.
    func answer(_ entry: Int, _ header: FrameHeader) {
        var header = header
        header.isSigned = connections[entries[entry].session].machine.isSigned
        entries[entry].responseTagBytes = 0
        let words = header.isSigned ? sign(entry, header) : header.words
        let place = memory.responseHeader(entry).start
        for index in 0..<8 {
            arena.storeWord(words[index], at: place.advanced(by: UInt64(index) * 8))
        }
        entries[entry].state = .answered
        entries[entry].responseBodyBytes = UInt64(header.bodyBytes)
        entries[entry].responsePayloadBytes = UInt64(header.payloadBytes)
        entries[entry].next = RequestEntry.none
        let session = entries[entry].session
        if connections[session].lastResponse == RequestEntry.none {
            connections[session].firstResponse = entry
        } else {
            entries[connections[session].lastResponse].next = entry
        }
        connections[session].lastResponse = entry
        markDirty(session)
        counters.add(to: .responses)
    }

    /// Answers the greeting that is now whole.
    func welcome(_ session: Int, version: UInt16) {
        let entry = connections[session].incoming
        connections[session].incoming = RequestEntry.none
        var response = greeting
        response.version = version
        let words = response.words
        let body = memory.responseBody(entry).start
        for index in 0..<5 {
            arena.storeWord(words[index], at: body.advanced(by: UInt64(index) * 8))
        }
        answer(
            entry,
            FrameHeader(
                operation: .connect, isResponse: true, requestID: entries[entry].header.requestID,
                bodyBytes: BodyLayout.connectResponseBytes))
    }

    /// Sends a session's last response; what it still owes goes out with it.
    func refuse(_ session: Int, _ header: FrameHeader, _ refusal: ServerSession.Refusal) {
        switch refusal {
        case .unsupportedVersion: counters.add(to: .refusedUnsupportedVersion)
        case .invalid: counters.add(to: .refusedInvalid)
        case .tooLarge: counters.add(to: .refusedTooLarge)
        case .unauthenticated(let problem): note(problem, of: session)
        }
        if connections[session].incoming != RequestEntry.none {
            // A greeting that can't be agreed on, or a forged frame: the refusal is its answer.
            free(connections[session].incoming)
            connections[session].incoming = RequestEntry.none
            _ = connections[session].machine.responseLeft()
        }
        let entry = limits.requests + session
        entries[entry].session = session
        answer(entry, header)
    }

    private func markDirty(_ session: Int) {
        if connections[session].isDirty { return }
        connections[session].isDirty = true
        dirty.append(session)
    }

    /// Has a piece sent for every session that has something to send: first of those that end with
    /// it, since the kernel copies one after the other.
    func sendDirty() {
        for _ in 0..<dirty.count {
            guard let session = dirty.popFirst() else { break }
            if endsSoon(session) {
                connections[session].isDirty = false
                send(session)
            } else {
                dirty.append(session)
            }
        }
        while let session = dirty.popFirst() {
            connections[session].isDirty = false
            send(session)
        }
    }

    /// Whether a session has a single short response to send.
    private func endsSoon(_ session: Int) -> Bool {
        let entry = connections[session].firstResponse
        return entry != RequestEntry.none && entries[entry].next == RequestEntry.none
            && entries[entry].outgoingBytes <= Self.shortResponseBytes
    }

    private static var shortResponseBytes: UInt64 { 128 << 10 }

    /// Has the next piece of a session's responses sent, unless one is on its way.
    func send(_ session: Int) {
        guard !connections[session].isSending, connections[session].machine.state != .closed else {
            return
        }
        let message = 2 * session + 1
        vectors.clear(message)
        var entry = connections[session].firstResponse
        var offset = connections[session].sentBytes
        var total: UInt64 = 0
        while entry != RequestEntry.none, total < pieceBytes, vectors.room(message) > 0 {
            while offset < entries[entry].outgoingBytes, total < pieceBytes,
                vectors.room(message) > 0
            {
                let range = outgoing(entry, from: offset, limit: pieceBytes - total)
                unsafe vectors.append(arena.bytes(range), to: message)
                offset += range.length.rawValue
                total += range.length.rawValue
            }
            entry = entries[entry].next
            offset = 0
        }
        guard total > 0 else { return }
        connections[session].isSending = true
        if connections[session].sendingSince == .never {
            connections[session].sendingSince = now()
        }
        shard.ring.sendWhole(
            connections[session].descriptor, vectors, message, userData: sendUserData(session))
    }

    /// The contiguous memory of a response's bytes from `offset` on, `limit` at most.
    private func outgoing(_ entry: Int, from offset: UInt64, limit: UInt64) -> ArenaRange {
        if offset < RequestMemory.headerBytes {
            return memory.responseHeader(entry).part(
                at: offset,
                length: ByteCount(min(limit, RequestMemory.headerBytes - offset)))
        }
        let behindHeader = offset - RequestMemory.headerBytes
        let bodyBytes = entries[entry].responseBodyBytes + entries[entry].responseTagBytes
        if behindHeader < bodyBytes {
            return memory.responseBody(entry).part(
                at: behindHeader, length: ByteCount(min(limit, bodyBytes - behindHeader)))
        }
        let rest = ByteCount(min(limit, entries[entry].outgoingBytes - offset))
        guard
            let range = entries[entry].outbound?.piece(at: behindHeader - bodyBytes, limit: rest)
        else { preconditionFailure("a response's payload without slabs") }
        return range
    }

    /// A send ended.
    func sent(_ session: Int, result: Int32, now: Instant) {
        connections[session].isSending = false
        if connections[session].machine.state == .closed {
            reclaim(session)
            return
        }
        if result < 0, result != -EINTR, result != -EAGAIN {
            act(session, connections[session].machine.broken(), now: now)
            return
        }
        if result > 0 {
            counters.add(UInt64(result), to: .bytesSent)
            noteMove(session)
            connections[session].sentBytes += UInt64(result)
            endResponses(session, now: now)
        }
        markDirty(session)
        pump(session, now: now)
    }

    /// Frees the responses whose last byte has left.
    private func endResponses(_ session: Int, now: Instant) {
        var entry = connections[session].firstResponse
        while entry != RequestEntry.none,
            connections[session].sentBytes >= entries[entry].outgoingBytes
        {
            connections[session].sentBytes -= entries[entry].outgoingBytes
            let next = entries[entry].next
            connections[session].firstResponse = next
            if next == RequestEntry.none { connections[session].lastResponse = RequestEntry.none }
            connections[session].sendingSince = next == RequestEntry.none ? .never : now
            free(entry)
            let action =
                entry < limits.requests
                ? connections[session].machine.responseLeft()
                : connections[session].machine.refusalSent()
            act(session, action, now: now)
            entry = next
        }
    }
}

#endif
