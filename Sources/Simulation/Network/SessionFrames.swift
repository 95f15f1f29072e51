// A simulated session's way in and out: from bytes to whole requests, from answers to bytes.

internal import Client
internal import Engine
internal import Wire

extension SimulatedSessions {
    /// Takes a session as far as the bytes that have arrived allow.
    func pump(_ session: Int) {
        while let connection = rows[session].connection {
            switch rows[session].machine.state {
            case .header:
                guard rows[session].machine.mayTakeHeader else { return }
                guard connection.toServer.arrived >= FrameHeader.byteCount else {
                    let owed = connection.toServer.arrived > 0 || !rows[session].machine.isGreeted
                    if !owed {
                        rows[session].owesSince = .never
                    } else if rows[session].owesSince == .never {
                        rows[session].owesSince = now
                    }
                    return endIfClosed(session, connection)
                }
                connection.toServer.arrived -= FrameHeader.byteCount
                act(session, take(connection.toServer.bytes.takeHeader(), session))
            case .receiving:
                guard takeIntoPlace(session, connection) else {
                    return endIfClosed(session, connection)
                }
                rows[session].owesSince = .never
                let isGenuine = isGenuine(session)
                act(
                    session,
                    isGenuine
                        ? rows[session].machine.frameComplete()
                        : rows[session].machine.frameForged())
            case .lingering:
                connection.toServer.bytes.drop(connection.toServer.arrived)
                connection.toServer.arrived = 0
                return endIfClosed(session, connection)
            case .waiting, .finishing: return
            case .closed: return
            }
        }
    }

    private func endIfClosed(_ session: Int, _ connection: SimulatedConnection) {
        guard connection.toServer.isEnded, connection.toServer.travelling == 0 else { return }
        act(
            session,
            rows[session].machine.peerClosed(bytesHeld: connection.toServer.arrived))
    }

    private func take(
        _ words: InlineArray<8, UInt64>, _ session: Int
    ) -> ServerSession.Action {
        if rows[session].machine.isSigned {
            guard let tag = rows[session].keys?.incoming.beginFrame(words),
                tag.matches(FrameTag(of: words))
            else { return rows[session].machine.headerForged(words) }
        }
        return rows[session].machine.headerArrived(words)
    }

    /// Moves what has arrived of a frame into place; true when the frame is whole.
    private func takeIntoPlace(_ session: Int, _ connection: SimulatedConnection) -> Bool {
        let place = rows[session].incoming
        let bodyBytes = requests[place].bodyAndTagBytes
        while requests[place].received < requests[place].incomingBytes {
            let offset = requests[place].received
            let limit = min(
                UInt64(connection.toServer.arrived), requests[place].incomingBytes - offset)
            if limit == 0 { return false }
            let range: ArenaRange
            if offset < bodyBytes {
                range = requests[place].body.part(
                    at: offset, length: ByteCount(min(limit, bodyBytes - offset)))
            } else {
                guard
                    let piece = requests[place].inbound?.piece(
                        at: offset - bodyBytes, limit: ByteCount(limit))
                else { preconditionFailure("a payload without slabs") }
                range = piece
            }
            connection.toServer.bytes.take(into: arena, range)
            connection.toServer.arrived -= Int(range.length.rawValue)
            requests[place].received += range.length.rawValue
        }
        return true
    }

    // MARK: Actions

    /// Does what a session's machine decided.
    func act(_ session: Int, _ action: ServerSession.Action) {
        switch action {
        case .nothing: break
        case .receive: rows[session].owesSince = now
        case .findRoom(let header): findRoom(session, header)
        case .deliver: deliver(session)
        case .readGreeting: act(session, greet(session))
        case .welcome(let version): welcome(session, version: version)
        case .challenge(let version): challenge(session, version: version)
        case .readProof: act(session, judgeProof(session))
        case .admit: admit(session)
        case .refuse(let header, _): refuse(session, header)
        case .halfClose:
            rows[session].owesSince = now
            if let connection = rows[session].connection {
                world.network.serverEnds(connection)
            }
            mark(session)
        case .close(let truncated):
            if truncated { counts.truncated += 1 }
            giveUp(session)
        case .closeForeign:
            counts.foreign += 1
            giveUp(session)
        }
    }

    private func deliver(_ session: Int) {
        let place = rows[session].incoming
        rows[session].incoming = -1
        let header = requests[place].header
        if let keys = rows[session].keys, !scopedKeys[keys.place].opens(header.namespace) {
            answer(
                place,
                FrameHeader(
                    operation: header.operation, isResponse: true, status: .forbidden,
                    namespace: header.namespace, requestID: header.requestID))
            return
        }
        if header.operation == .rdmaOpen, header.bodyBytes == 0, header.payloadBytes == 0,
            let remote
        {
            offerQueuePair(place, by: remote)
            return
        }
        enqueue(place)
    }

    private func refuse(_ session: Int, _ header: FrameHeader) {
        counts.refusals += 1
        if rows[session].incoming >= 0 {
            free(rows[session].incoming)
            rows[session].incoming = -1
            act(session, rows[session].machine.responseLeft())
        }
        var header = header
        header.isSigned = rows[session].machine.isSigned
        var words = header.words
        if header.isSigned, let tag = rows[session].keys?.outgoing.beginFrame(words) {
            words = FrameHeader.words(words, tag: tag)
        }
        rows[session].refusal = words
        rows[session].refusalSent = 0
        mark(session)
    }

    // MARK: The way out

    /// Gives an answer's header its place behind the session's others.
    func answer(_ place: Int, _ header: FrameHeader) {
        let session = requests[place].session
        var header = header
        header.isSigned = rows[session].machine.isSigned
        requests[place].responseBodyBytes = UInt64(header.bodyBytes)
        requests[place].responsePayloadBytes = UInt64(header.payloadBytes)
        requests[place].response = header.isSigned ? sign(place, header) : header.words
        requests[place].sent = 0
        requests[place].state = .answered
        rows[session].outgoing.append(place)
        mark(session)
    }

    /// Puts into the connection what it has room for.
    func flush(_ session: Int) {
        while let connection = rows[session].connection, let place = rows[session].outgoing.first {
            guard push(place, into: connection) else { return }
            rows[session].outgoing.removeFirst()
            free(place)
            act(session, rows[session].machine.responseLeft())
            mark(session)
        }
        guard let connection = rows[session].connection, let refusal = rows[session].refusal,
            connection.toClient.room >= FrameHeader.byteCount
        else { return }
        connection.toClient.bytes.append(refusal)
        world.network.sent(FrameHeader.byteCount, over: connection, .toClient)
        rows[session].refusal = nil
        act(session, rows[session].machine.refusalSent())
    }

    /// Puts as much of a response into the connection as fits; true when that was all.
    private func push(_ place: Int, into connection: SimulatedConnection) -> Bool {
        let total = requests[place].outgoingBytes
        let before = requests[place].sent
        if before == 0 {
            guard connection.toClient.room >= FrameHeader.byteCount else { return false }
            connection.toClient.bytes.append(requests[place].response)
            requests[place].sent = UInt64(FrameHeader.byteCount)
        }
        while requests[place].sent < total, connection.toClient.room > 0 {
            let offset = requests[place].sent - UInt64(FrameHeader.byteCount)
            let room = UInt64(connection.toClient.room)
            let bodyBytes = requests[place].responseBodyBytes
            let range: ArenaRange
            if offset < bodyBytes {
                range = requests[place].responseBody.part(
                    at: offset, length: ByteCount(min(room, bodyBytes - offset)))
            } else {
                let left = requests[place].responsePayloadBytes - (offset - bodyBytes)
                guard
                    let piece = requests[place].outbound?.piece(
                        at: offset - bodyBytes, limit: ByteCount(min(room, left)))
                else { preconditionFailure("a response's payload without slabs") }
                range = piece
            }
            connection.toClient.bytes.append(arena, range)
            requests[place].sent += range.length.rawValue
        }
        let count = Int(requests[place].sent - before)
        if count > 0 { world.network.sent(count, over: connection, .toClient) }
        return requests[place].sent == total
    }
}
