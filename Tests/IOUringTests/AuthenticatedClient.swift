// A client with a key, made of Wire's arithmetic and a blocking socket: whatever a test wants
// changed in a frame can be changed.

#if IOUring

import IOUring
import Wire

/// One connection, authenticated if the server agrees.
final class AuthenticatedClient {
    let client: TestClient
    private var outgoing: FrameAuthenticator?
    private var incoming: FrameAuthenticator?
    /// The status that ended the handshake; `ok` when it went through.
    private(set) var status = Status.ok

    init(port: UInt16, key: AuthenticationKey, spoilsProof: Bool = false) {
        client = TestClient(port: port, greets: false)
        let request = FrameHeader(operation: .connect, requestID: 1, bodyBytes: 48).words
        let body: InlineArray<6, UInt64> = [1 | 1 << 16, key.identifier.rawValue, 3, 1, 4, 1]
        client.send(
            TestClient.bytes(of: request)
                + (0..<6).flatMap { TestClient.littleEndian(body[$0]) })
        guard let answer = client.receive(), answer.header.status == .ok else {
            status = .unauthenticated
            return
        }
        let words = Self.words(answer.body)
        let schedule = KeySchedule(
            key,
            Transcript(
                requestHeader: request, requestBody: body, responseHeader: answer.header.words,
                responseBody: InlineArray { words[$0] }))
        outgoing = FrameAuthenticator(key: schedule.clientToServer)
        incoming = FrameAuthenticator(key: schedule.serverToClient)
        var proof = schedule.clientProof.words
        if spoilsProof { proof[3] ^= 1 }
        client.send(
            TestClient.frame(
                .authenticate, id: 2,
                body: (0..<4).flatMap { TestClient.littleEndian(proof[$0]) }))
        status = receive() ?? .outcomeUnknown
    }

    /// Sends a request with right tags.
    func send(_ operation: OperationCode, namespace: UInt32 = 0, body: [UInt8]) {
        let header = FrameHeader(
            operation: operation, namespace: Namespace(namespace), requestID: 9,
            bodyBytes: UInt32(body.count), isSigned: true
        ).words
        guard let tag = outgoing?.beginFrame(header), var code = outgoing?.beginBody() else {
            return
        }
        for word in Self.words(body) { code.add(word) }
        let bodyTag = FrameTag(ending: code)
        client.send(
            TestClient.bytes(of: FrameHeader.words(header, tag: tag)) + body
                + (0..<2).flatMap { TestClient.littleEndian(bodyTag.words[$0]) })
    }

    /// The status of the next answer, which has neither body nor payload; nil at the end of the
    /// stream, and for an answer whose tag is wrong.
    func receive() -> Status? {
        guard let bytes = client.receive(count: FrameHeader.byteCount) else { return nil }
        let words = Self.words(bytes)
        let header = InlineArray<8, UInt64> { words[$0] }
        if FrameHeader.saysSigned(header) {
            guard incoming?.beginFrame(header).matches(FrameTag(of: header)) == true else {
                return nil
            }
        }
        let limits = FrameLimits(maximumBodyBytes: 0, maximumPayloadBytes: 0)
        return try? FrameHeader(words: header, limits: limits).status
    }

    private static func words(_ bytes: [UInt8]) -> [UInt64] {
        stride(from: 0, to: bytes.count, by: 8).map { start in
            (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
        }
    }
}

#endif
