// A simulated server's part in sessions with a key: the handshake's answers and the tags of frames.
// The arithmetic is Wire's, as in every transport.

internal import Client
internal import Engine
internal import Wire

extension SimulatedSessions {
    private func bodyWord(_ place: Int, _ index: Int) -> UInt64 {
        arena.loadWord(requests[place].body.start.advanced(by: UInt64(index) * 8))
    }

    private func storeResponseWord(_ word: UInt64, _ place: Int, at offset: UInt64) {
        arena.storeWord(word, at: requests[place].responseBody.start.advanced(by: offset))
    }

    private func keyPlace(_ session: Int) -> Int? {
        let identifier = KeyIdentifier(bodyWord(rows[session].incoming, 1))
        return scopedKeys.firstIndex { $0.key.identifier == identifier }
    }

    func greet(_ session: Int) -> ServerSession.Action {
        let place = rows[session].incoming
        let word = bodyWord(place, 0)
        guard requests[place].header.bodyBytes == BodyLayout.connectWithKeyRequestBytes else {
            return rows[session].machine.greeted(
                word, key: scopedKeys.isEmpty ? .notNeeded : .missing)
        }
        return rows[session].machine.greeted(
            word, key: keyPlace(session) == nil ? .unknown : .known)
    }

    func welcome(_ session: Int, version: UInt16) {
        let place = rows[session].incoming
        rows[session].incoming = -1
        var told = greeting
        told.version = version
        for index in 0..<5 {
            storeResponseWord(told.words[index], place, at: UInt64(index) * 8)
        }
        answer(
            place,
            FrameHeader(
                operation: .connect, isResponse: true,
                requestID: requests[place].header.requestID,
                bodyBytes: BodyLayout.connectResponseBytes))
    }

    func challenge(_ session: Int, version: UInt16) {
        let place = rows[session].incoming
        guard let keyPlace = keyPlace(session) else {
            preconditionFailure("a challenge for a key that isn't there")
        }
        rows[session].incoming = -1
        let request = requests[place].header
        let requestBody = InlineArray<6, UInt64> { bodyWord(place, $0) }
        var told = greeting
        told.version = version
        told.tagsPayloads = tagsPayloads
        let header = FrameHeader(
            operation: .connect, isResponse: true, requestID: request.requestID,
            bodyBytes: BodyLayout.connectWithKeyResponseBytes)
        let nonce = world.network.drawNonce()
        let words = told.words
        let responseBody = InlineArray<9, UInt64> { $0 < 5 ? words[$0] : nonce.words[$0 - 5] }
        let schedule = KeySchedule(
            scopedKeys[keyPlace].key,
            Transcript(
                requestHeader: request.words, requestBody: requestBody,
                responseHeader: header.words, responseBody: responseBody))
        rows[session].keys = SessionKeys(
            place: keyPlace, clientProof: schedule.clientProof,
            incoming: FrameAuthenticator(key: schedule.clientToServer),
            outgoing: FrameAuthenticator(key: schedule.serverToClient),
            tagsPayloads: tagsPayloads, queuePairs: schedule.queuePairs)
        for index in 0..<9 {
            storeResponseWord(responseBody[index], place, at: UInt64(index) * 8)
        }
        for index in 0..<4 {
            storeResponseWord(
                schedule.serverProof.words[index], place, at: 72 + UInt64(index) * 8)
        }
        answer(place, header)
    }

    func judgeProof(_ session: Int) -> ServerSession.Action {
        let place = rows[session].incoming
        let words = InlineArray<4, UInt64> { bodyWord(place, $0) }
        let isRight = rows[session].keys?.clientProof.matches(Secret(words: words)) ?? false
        return rows[session].machine.proved(isRight: isRight)
    }

    func admit(_ session: Int) {
        let place = rows[session].incoming
        rows[session].incoming = -1
        counts.authenticated += 1
        answer(
            place,
            FrameHeader(
                operation: .authenticate, isResponse: true,
                requestID: requests[place].header.requestID))
    }

    // MARK: Tags

    private func loadTag(_ place: ArenaOffset) -> FrameTag {
        FrameTag(words: [arena.loadWord(place), arena.loadWord(place.advanced(by: 8))])
    }

    /// Whether the tags of the whole frame that came in are right.
    func isGenuine(_ session: Int) -> Bool {
        let place = rows[session].incoming
        let header = requests[place].header
        guard header.isSigned else { return true }
        let body = requests[place].body
        var tagPlace = UInt64(header.bodyBytes)
        if header.bodyBytes > 0 {
            guard var code = rows[session].keys?.incoming.beginBody() else { return false }
            arena.add(body.part(at: 0, length: ByteCount(UInt64(header.bodyBytes))), to: &code)
            guard FrameTag(ending: code).matches(loadTag(body.start.advanced(by: tagPlace))) else {
                return false
            }
            tagPlace += UInt64(FrameTag.byteCount)
        }
        guard header.payloadBytes > 0, rows[session].keys?.tagsPayloads == true else { return true }
        guard var code = rows[session].keys?.incoming.beginPayload() else { return false }
        let length = UInt64(header.payloadBytes)
        var offset: UInt64 = 0
        while offset < length,
            let piece = requests[place].inbound?.piece(
                at: offset, limit: ByteCount(length - offset))
        {
            arena.add(piece, to: &code)
            offset += piece.length.rawValue
        }
        return FrameTag(ending: code).matches(loadTag(body.start.advanced(by: tagPlace)))
    }

    /// Puts the tags of a response behind its body and returns its header with its own.
    func sign(_ place: Int, _ header: FrameHeader) -> InlineArray<8, UInt64> {
        let session = requests[place].session
        guard let tag = rows[session].keys?.outgoing.beginFrame(header.words) else {
            preconditionFailure("a signed session without a key")
        }
        func store(_ code: consuming MessageCode) {
            let tag = FrameTag(ending: code)
            let end = requests[place].responseBodyBytes
            storeResponseWord(tag.words[0], place, at: end)
            storeResponseWord(tag.words[1], place, at: end + 8)
            requests[place].responseBodyBytes = end + UInt64(FrameTag.byteCount)
        }
        if header.bodyBytes > 0, var code = rows[session].keys?.outgoing.beginBody() {
            arena.add(
                requests[place].responseBody.part(
                    at: 0, length: ByteCount(UInt64(header.bodyBytes))), to: &code)
            store(code)
        }
        if tagsPayloads, header.payloadBytes > 0,
            var code = rows[session].keys?.outgoing.beginPayload()
        {
            let length = UInt64(header.payloadBytes)
            var offset: UInt64 = 0
            while offset < length,
                let piece = requests[place].outbound?.piece(
                    at: offset, limit: ByteCount(length - offset))
            {
                arena.add(piece, to: &code)
                offset += piece.length.rawValue
            }
            store(code)
        }
        return FrameHeader.words(header.words, tag: tag)
    }
}
