// ClientAuthentication: the client's side of a session with a key: the challenge, both proofs, and
// the tags of every frame.
//
// Always holds: the client shows its proof only to a server that has shown its own; from then on
// every frame in both directions is signed; nothing of a response is used before its tag was found
// right. The arithmetic is Wire's; Docs/authentication.md is the same in prose.

package import Wire

/// What a session needs to be opened with a key.
package struct Credentials: Sendable {
    package let key: AuthenticationKey
    /// To be drawn anew for each session.
    package let nonce: Nonce

    package init(key: AuthenticationKey, nonce: Nonce) {
        self.key = key
        self.nonce = nonce
    }
}

/// The state of one session with a key.
struct ClientAuthentication: Sendable {
    /// Nil of a queue pair, whose session has been authenticated.
    private let credentials: Credentials?
    private var connectHeader = InlineArray<8, UInt64>(repeating: 0)
    private var connectBody = InlineArray<6, UInt64>(repeating: 0)
    private var proof: Secret?
    private var outgoing: FrameAuthenticator?
    private var incoming: FrameAuthenticator?
    private var tagsPayloads = false
    /// What the keys of queue pairs follow from; nil before the challenge.
    private(set) var queuePairs: Secret?

    init(_ credentials: Credentials) { self.credentials = credentials }

    /// Of a queue pair: frames are signed from the first one on.
    init(_ keys: QueuePairKeys) {
        credentials = nil
        outgoing = FrameAuthenticator(key: keys.clientToServer)
        incoming = FrameAuthenticator(key: keys.serverToClient)
    }

    private var givenCredentials: Credentials {
        guard let credentials else { preconditionFailure("a handshake over a queue pair") }
        return credentials
    }

    // MARK: The handshake

    /// Connect: the versions, the key's name and the client's nonce.
    mutating func connect(id: UInt64, versions: UInt64) -> OutgoingFrame {
        let header = FrameHeader(
            operation: .connect, requestID: id, bodyBytes: BodyLayout.connectWithKeyRequestBytes)
        let nonce = givenCredentials.nonce.words
        connectHeader = header.words
        connectBody = [
            versions, givenCredentials.key.identifier.rawValue, nonce[0], nonce[1], nonce[2],
            nonce[3],
        ]
        let words =
            RequestEncoding.words(of: header.words) + (0..<6).map { connectBody[$0] }
        return OutgoingFrame(tag: RequestTag(id), words: words, payload: [])
    }

    /// Connect's answer: believed only with the server's proof.
    mutating func challenged(_ header: FrameHeader, body: [UInt64]) throws(SessionFailure) {
        let schedule = KeySchedule(
            givenCredentials.key,
            Transcript(
                requestHeader: connectHeader, requestBody: connectBody,
                responseHeader: header.words, responseBody: InlineArray { body[$0] }))
        guard
            schedule.serverProof.matches(
                Secret(words: [body[9], body[10], body[11], body[12]]))
        else { throw .wrongServerProof }
        proof = schedule.clientProof
        outgoing = FrameAuthenticator(key: schedule.clientToServer)
        incoming = FrameAuthenticator(key: schedule.serverToClient)
        queuePairs = schedule.queuePairs
        let told = ConnectResponse(words: InlineArray { body[$0] })
        tagsPayloads = told.tagsPayloads
    }

    /// Authenticate: the client's proof.
    func authenticate(id: UInt64) -> OutgoingFrame {
        guard let proof else { preconditionFailure("a proof before the challenge") }
        let header = FrameHeader(
            operation: .authenticate, requestID: id, bodyBytes: BodyLayout.authenticateRequestBytes)
        let words =
            RequestEncoding.words(of: header.words) + (0..<4).map { proof.words[$0] }
        return OutgoingFrame(tag: RequestTag(id), words: words, payload: [])
    }

    // MARK: Frames

    /// The same frame with its tags.
    mutating func sign(_ frame: OutgoingFrame) -> OutgoingFrame {
        var header = InlineArray<8, UInt64> { frame.words[$0] }
        header = FrameHeader.signed(header)
        guard let tag = outgoing?.beginFrame(header) else {
            preconditionFailure("a request before the challenge")
        }
        var words = RequestEncoding.words(of: FrameHeader.words(header, tag: tag))
        let body = frame.words[FrameHeader.wordCount...]
        words += body
        if !body.isEmpty, var code = outgoing?.beginBody() {
            code.add(words: body)
            words += Self.words(of: FrameTag(ending: code))
        }
        if tagsPayloads, !frame.payload.isEmpty, var code = outgoing?.beginPayload() {
            for segment in frame.payload {
                switch segment {
                case .value(let bytes): code.add(bytes)
                case .padding(let count): code.add(zeros: count)
                }
            }
            words += Self.words(of: FrameTag(ending: code))
        }
        return OutgoingFrame(tag: frame.tag, words: words, payload: frame.payload)
    }

    private static func words(of tag: FrameTag) -> [UInt64] { [tag.words[0], tag.words[1]] }

    /// Begins a response; refuses a header whose tag is wrong.
    mutating func check(header words: InlineArray<8, UInt64>) throws(SessionFailure) {
        guard let tag = incoming?.beginFrame(words), tag.matches(FrameTag(of: words)) else {
            throw .forgedResponse
        }
    }

    /// Words of tags that follow the body of `header`'s response.
    func tagWords(of header: FrameHeader) -> Int {
        Int(header.tagBytes(tagsPayloads: tagsPayloads)) / 8
    }

    /// Takes the body and the tags behind it; refuses a wrong one. Returns the payload's tag, which
    /// is to be compared later.
    func check(
        body words: [UInt64], of header: FrameHeader
    ) throws(SessionFailure) -> FrameTag? {
        let body = words[..<(Int(header.bodyBytes) / 8)]
        var rest = words[body.endIndex...]
        if !body.isEmpty, var code = incoming?.beginBody() {
            code.add(words: body)
            let tag = FrameTag(words: [rest.removeFirst(), rest.removeFirst()])
            guard FrameTag(ending: code).matches(tag) else { throw .forgedResponse }
        }
        return rest.isEmpty ? nil : FrameTag(words: [rest.removeFirst(), rest.removeFirst()])
    }

    /// Takes the payload of the response that was begun.
    func beginPayload() -> MessageCode? { incoming?.beginPayload() }
}
