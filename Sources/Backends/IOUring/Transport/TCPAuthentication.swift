// What a shard does for sessions with a key: the handshake's two answers, the tags of every frame,
// namespaces, and keys that are replaced.
//
// Always holds: a session with a key has its row in `authentications` from the challenge on, and
// nothing of it outlives the session; a header is decoded, and its lengths believed, only after its
// tag was found right; a body or a payload reaches the engine only after its own was. What every
// frame is compared with follows from Sources/Wire/Authentication.

#if IOUring

internal import Engine
package import Wire

/// What one session's key comes to.
struct SessionAuthentication: Sendable {
    /// Its place in the shard's keys.
    var keyIndex: Int
    /// What the client's proof must be.
    var clientProof: Secret
    var incoming: FrameAuthenticator
    var outgoing: FrameAuthenticator
    let tagsPayloads: Bool
    /// What the keys of its queue pairs follow from.
    var queuePairs: Secret

    /// Overwrites everything that is secret.
    mutating func forget() {
        clientProof.forget()
        incoming.forget()
        outgoing.forget()
        queuePairs.forget()
    }
}

/// A peer that was turned away.
package struct AuthenticationRefusal: Hashable, Sendable {
    package let problem: AuthenticationProblem
    /// ADDRESS:PORT, as far as it is known.
    package let peer: String
}

extension TCPTransport {
    /// The peer that was turned away first since the last call, for the log; the counters have all
    /// of them.
    package func takeRefusal() -> AuthenticationRefusal? { refusal.take() }

    package var hasRefusal: Bool { refusal != nil }

    // MARK: - The handshake

    /// Connect's body is here.
    func greet(_ session: Int) -> ServerSession.Action {
        let entry = connections[session].incoming
        let body = memory.body(entry).start
        let word = arena.loadWord(body)
        guard entries[entry].header.bodyBytes == BodyLayout.connectWithKeyRequestBytes else {
            let key: ServerSession.GreetingKey = knownKeys.isEmpty ? .notNeeded : .missing
            return connections[session].machine.greeted(word, key: key)
        }
        let isKnown = keyIndex(of: KeyIdentifier(arena.loadWord(body.advanced(by: 8)))) != nil
        return connections[session].machine.greeted(word, key: isKnown ? .known : .unknown)
    }

    private func keyIndex(of identifier: KeyIdentifier) -> Int? {
        for index in knownKeys.indices where knownKeys[index].key.identifier == identifier {
            return index
        }
        return nil
    }

    /// Answers Connect with a challenge and the server's own proof.
    func challenge(_ session: Int, version: UInt16) {
        let entry = connections[session].incoming
        let request = entries[entry].header
        let body = memory.body(entry).start
        guard let index = keyIndex(of: KeyIdentifier(arena.loadWord(body.advanced(by: 8)))) else {
            preconditionFailure("a challenge for a key that isn't there")
        }
        var requestBody = InlineArray<6, UInt64>(repeating: 0)
        for word in 0..<6 {
            requestBody[word] = arena.loadWord(body.advanced(by: UInt64(word) * 8))
        }
        var response = greeting
        response.version = version
        response.tagsPayloads = keys.tagsPayloads
        let header = FrameHeader(
            operation: .connect, isResponse: true, requestID: request.requestID,
            bodyBytes: BodyLayout.connectWithKeyResponseBytes)
        var generator = SystemRandomNumberGenerator()
        let nonce = Nonce(using: &generator)
        let told = response.words
        let responseBody = InlineArray<9, UInt64> { $0 < 5 ? told[$0] : nonce.words[$0 - 5] }
        let schedule = KeySchedule(
            knownKeys[index].key,
            Transcript(
                requestHeader: request.words, requestBody: requestBody,
                responseHeader: header.words, responseBody: responseBody))
        authentications[session] = SessionAuthentication(
            keyIndex: index, clientProof: schedule.clientProof,
            incoming: FrameAuthenticator(key: schedule.clientToServer),
            outgoing: FrameAuthenticator(key: schedule.serverToClient),
            tagsPayloads: keys.tagsPayloads, queuePairs: schedule.queuePairs)
        let place = memory.responseBody(entry).start
        for word in 0..<9 {
            arena.storeWord(responseBody[word], at: place.advanced(by: UInt64(word) * 8))
        }
        for word in 0..<4 {
            arena.storeWord(
                schedule.serverProof.words[word], at: place.advanced(by: 72 + UInt64(word) * 8))
        }
        connections[session].incoming = RequestEntry.none
        answer(entry, header)
    }

    /// Authenticate's body is here.
    func judgeProof(_ session: Int) -> ServerSession.Action {
        let body = memory.body(connections[session].incoming).start
        var words = InlineArray<4, UInt64>(repeating: 0)
        for index in 0..<4 { words[index] = arena.loadWord(body.advanced(by: UInt64(index) * 8)) }
        let isRight = authentications[session]?.clientProof.matches(Secret(words: words)) ?? false
        return connections[session].machine.proved(isRight: isRight)
    }

    /// Answers Authenticate: the first frame that the server signs.
    func admit(_ session: Int) {
        let entry = connections[session].incoming
        connections[session].incoming = RequestEntry.none
        counters.add(to: .authenticatedSessions)
        answer(
            entry,
            FrameHeader(
                operation: .authenticate, isResponse: true,
                requestID: entries[entry].header.requestID))
    }

    /// Counts a peer that is turned away, and keeps the first for the log.
    func note(_ problem: AuthenticationProblem, of session: Int) {
        counters.add(to: problem == .forgedFrame ? .forgedFrames : .failedAuthentications)
        guard refusal == nil else { return }
        refusal = AuthenticationRefusal(
            problem: problem, peer: peerName(connections[session].descriptor))
    }

    // MARK: - Tags

    /// Bytes of tags behind the body of an incoming frame.
    func tagBytes(of header: FrameHeader, _ session: Int) -> UInt64 {
        let tagsPayloads = authentications[session]?.tagsPayloads ?? false
        return UInt64(header.tagBytes(tagsPayloads: tagsPayloads))
    }

    /// Whether a header of a signed session has its tag.
    func isGenuine(_ words: InlineArray<8, UInt64>, _ session: Int) -> Bool {
        guard let tag = authentications[session]?.incoming.beginFrame(words) else { return false }
        return tag.matches(FrameTag(of: words))
    }

    /// Whether the body and the payload of a whole incoming frame have theirs.
    func isGenuine(_ entry: Int) -> Bool {
        let header = entries[entry].header
        guard header.isSigned else { return true }
        let body = memory.body(entry)
        let session = entries[entry].session
        var tagPlace = UInt64(header.bodyBytes)
        if header.bodyBytes > 0 {
            guard var code = authentications[session]?.incoming.beginBody() else { return false }
            arena.add(body.part(at: 0, length: ByteCount(UInt64(header.bodyBytes))), to: &code)
            let expected = FrameTag(ending: code)
            guard expected.matches(loadTag(body.start.advanced(by: tagPlace))) else { return false }
            tagPlace += UInt64(FrameTag.byteCount)
        }
        guard header.payloadBytes > 0, authentications[session]?.tagsPayloads == true else {
            return true
        }
        guard var code = authentications[session]?.incoming.beginPayload() else { return false }
        var offset: UInt64 = 0
        let length = UInt64(header.payloadBytes)
        while offset < length,
            let piece = entries[entry].inbound?.piece(at: offset, limit: ByteCount(length - offset))
        {
            arena.add(piece, to: &code)
            offset += piece.length.rawValue
        }
        return FrameTag(ending: code).matches(loadTag(body.start.advanced(by: tagPlace)))
    }

    /// Signs a response whose body and payload are in their places: puts the tags behind the body
    /// and returns the header that goes in front of it.
    func sign(_ entry: Int, _ header: FrameHeader) -> InlineArray<8, UInt64> {
        let session = entries[entry].session
        guard let tagsPayloads = authentications[session]?.tagsPayloads,
            let tag = authentications[session]?.outgoing.beginFrame(header.words)
        else { preconditionFailure("a signed session without a key") }
        // A refusal has a header alone, and no room for more.
        if header.bodyBytes > 0, var code = authentications[session]?.outgoing.beginBody() {
            let bytes = UInt64(header.bodyBytes)
            let body = memory.responseBody(entry)
            arena.add(body.part(at: 0, length: ByteCount(bytes)), to: &code)
            storeTag(FrameTag(ending: code), entry, at: bytes)
            entries[entry].responseTagBytes += UInt64(FrameTag.byteCount)
        }
        if tagsPayloads, header.payloadBytes > 0,
            var code = authentications[session]?.outgoing.beginPayload()
        {
            let length = UInt64(header.payloadBytes)
            var offset: UInt64 = 0
            while offset < length,
                let piece = entries[entry].outbound?.piece(
                    at: offset, limit: ByteCount(length - offset))
            {
                arena.add(piece, to: &code)
                offset += piece.length.rawValue
            }
            storeTag(
                FrameTag(ending: code), entry,
                at: UInt64(header.bodyBytes) + entries[entry].responseTagBytes)
            entries[entry].responseTagBytes += UInt64(FrameTag.byteCount)
        }
        return FrameHeader.words(header.words, tag: tag)
    }

    private func loadTag(_ place: ArenaOffset) -> FrameTag {
        FrameTag(words: [arena.loadWord(place), arena.loadWord(place.advanced(by: 8))])
    }

    private func storeTag(_ tag: FrameTag, _ entry: Int, at offset: UInt64) {
        let place = memory.responseBody(entry).start.advanced(by: offset)
        arena.storeWord(tag.words[0], at: place)
        arena.storeWord(tag.words[1], at: place.advanced(by: 8))
    }

    // MARK: - What a key opens

    /// Whether the session may use `namespace`.
    func mayUse(_ namespace: Namespace, _ session: Int) -> Bool {
        guard let index = authentications[session]?.keyIndex else { return true }
        return knownKeys[index].opens(namespace)
    }

    /// Answers a request for a namespace that the session's key doesn't open.
    func forbid(_ entry: Int) {
        counters.add(to: .forbiddenRequests)
        releaseInbound(entry)
        let header = entries[entry].header
        answer(
            entry,
            FrameHeader(
                operation: header.operation, isResponse: true, status: .forbidden,
                namespace: header.namespace, requestID: header.requestID))
    }

    /// Goes over to the daemon's keys of now, if they have changed: sessions of a key that is gone
    /// end, and so do sessions without one where there were none before.
    func adoptKeys(now: Instant) {
        let generation = keys.generation
        guard generation != knownGeneration else { return }
        knownGeneration = generation
        let former = knownKeys
        knownKeys = keys.current
        for session in 0..<connections.count where connections[session].descriptor >= 0 {
            guard connections[session].machine.state != .closed else { continue }
            let isAllowed: Bool
            if let index = authentications[session]?.keyIndex {
                let place = knownKeys.firstIndex { $0.key == former[index].key }
                authentications[session]?.keyIndex = place ?? 0
                isAllowed = place != nil
            } else {
                isAllowed = knownKeys.isEmpty || !connections[session].machine.isGreeted
            }
            if isAllowed { continue }
            counters.add(to: .revokedSessions)
            act(session, connections[session].machine.broken(), now: now)
        }
    }

    /// Forgets a session's keys: its place is given away.
    func forgetKeys(_ session: Int) {
        authentications[session]?.forget()
        authentications[session] = nil
    }
}

#endif
