// The client's handshake and its signed frames, byte by byte against the vectors of
// Docs/authentication.md, which an independent program made; and what it does with a server that
// isn't what it says.

import Foundation
import Testing
import Wire

@testable import Client

@Suite struct AuthenticationTests {
    private static let page = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Docs/authentication.md")

    /// The bytes behind the line that begins with `title`.
    private func vector(_ title: String) throws -> [UInt8] {
        let lines = try String(contentsOf: Self.page, encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.lastIndex { $0.hasPrefix(title) })
        return try lines[(start + 2)...].prefix { $0.hasPrefix("    ") }.flatMap { line in
            try line.split(separator: " ").dropFirst().map {
                try #require(UInt8($0, radix: 16))
            }
        }
    }

    private func words(_ bytes: [UInt8]) -> [UInt64] {
        stride(from: 0, to: bytes.count, by: 8).map { start in
            (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
        }
    }

    private func bytes(of frame: OutgoingFrame?) throws -> [UInt8] {
        let frame = try #require(frame)
        var bytes = ReferenceRequest.bytes(frame.words)
        for segment in frame.payload {
            guard case .value(let value) = segment else { continue }
            bytes += unsafe [UInt8](value.buffer)
        }
        return bytes
    }

    private func session() throws -> ClientSession {
        let key = try vector("Key:")
        let digits = key.map { String(Int($0) + 0x100, radix: 16).dropFirst() }.joined()
        let nonce = words(Array(32..<64))
        let shared = try #require(AuthenticationKey(hexadecimal: digits))
        var session = ClientSession(
            credentials: Credentials(
                key: shared, nonce: Nonce(words: [nonce[0], nonce[1], nonce[2], nonce[3]])))
        session.start()
        return session
    }

    /// Hands a whole response without a payload to the session.
    private func receive(
        _ bytes: [UInt8], by session: inout ClientSession
    ) throws(SessionFailure) {
        let words = words(bytes)
        let count = try session.receiveHeader(words: InlineArray { words[$0] })
        _ = try session.receiveBody(words: Array(words[8..<(8 + count)]))
        _ = try session.receivePayload(checksums: [])
    }

    private func send(_ session: inout ClientSession) throws -> [UInt8] {
        defer { session.frameSent() }
        return try bytes(of: session.nextFrame(now: MonotonicTime(nanoseconds: 0)))
    }

    @Test func aSessionIsTheDocumentsByteByByte() throws {
        var session = try session()
        #expect(try send(&session) == (try vector("Connect, request:")))
        try receive(try vector("Connect, response:"), by: &session)
        #expect(!session.isReady)
        #expect(try send(&session) == (try vector("Authenticate, request:")))
        try receive(try vector("Authenticate, response"), by: &session)
        #expect(session.isReady)
        // The server is told fifteen sixteenths of it: 30 seconds.
        let deadline = MonotonicTime(nanoseconds: 32_000_000_000)
        let key = KeyRule.key("hello", namespace: Namespace(7))
        let value = OwnedBytes(Array("Hello, block!".utf8)).source
        _ = try session.submit(
            .put(PutItem(key: key, value: value)), checksums: [value.xxh3], deadline: deadline)
        #expect(try send(&session) == (try vector("TcpPut, request")))
        let room = OwnedBytes(count: 64)
        _ = try session.submit(
            .get(GetItem(key: key, destination: room.destination)), checksums: [],
            deadline: deadline)
        #expect(try send(&session) == (try vector("TcpGet, request")))
    }

    @Test func theScheduleIsTheDocuments() throws {
        let request = words(try vector("Connect, request:"))
        let response = words(try vector("Connect, response:"))
        let digits = try vector("Key:").map { String(Int($0) + 0x100, radix: 16).dropFirst() }
            .joined()
        let key = try #require(AuthenticationKey(hexadecimal: digits))
        #expect(key.identifier.rawValue == words(try vector("Key id:"))[0])
        let schedule = KeySchedule(
            key,
            Transcript(
                requestHeader: InlineArray { request[$0] },
                requestBody: InlineArray { request[8 + $0] },
                responseHeader: InlineArray { response[$0] },
                responseBody: InlineArray { response[8 + $0] }))
        for (title, secret) in [
            ("Server's proof:", schedule.serverProof), ("Client's proof:", schedule.clientProof),
            ("Key from client to server:", schedule.clientToServer),
            ("Key from server to client:", schedule.serverToClient),
        ] {
            let expected = words(try vector(title))
            #expect((0..<4).allSatisfy { secret.words[$0] == expected[$0] }, "\(title)")
        }
    }

    /// Every byte of the server's answer counts: with any one changed the client shows no proof.
    @Test func aChallengeWithAnyByteChangedIsRefused() throws {
        let response = try vector("Connect, response:")
        for place in response.indices {
            var session = try session()
            _ = try send(&session)
            var changed = response
            changed[place] ^= 0x10
            #expect(throws: SessionFailure.self) { try receive(changed, by: &session) }
            #expect(!session.handshakeQueued, "byte \(place)")
        }
    }

    @Test func aServerThatReflectsTheClientsNonceHasNoProof() throws {
        var session = try session()
        let request = try send(&session)
        var response = try vector("Connect, response:")
        response.replaceSubrange((64 + 40)..<(64 + 72), with: request.suffix(32))
        #expect(throws: SessionFailure.wrongServerProof) { try receive(response, by: &session) }
    }

    @Test func aWelcomeThatIsNotSignedIsRefused() throws {
        var session = try session()
        _ = try send(&session)
        try receive(try vector("Connect, response:"), by: &session)
        _ = try send(&session)
        let welcome = FrameHeader(operation: .authenticate, isResponse: true, requestID: 0)
        #expect(throws: SessionFailure.forgedResponse) {
            try receive(ReferenceRequest.bytes(welcome), by: &session)
        }
        #expect(!session.isReady)
    }

    /// A server without the key can't say so in a signed frame.
    @Test func aRefusalNeedsNoSignature() throws {
        for afterChallenge in [false, true] {
            var session = try session()
            _ = try send(&session)
            if afterChallenge {
                try receive(try vector("Connect, response:"), by: &session)
                _ = try send(&session)
            }
            let refusal = FrameHeader(
                operation: afterChallenge ? .authenticate : .connect, isResponse: true,
                status: .unauthenticated, requestID: 0)
            #expect(throws: SessionFailure.connectRefused(.unauthenticated)) {
                try receive(ReferenceRequest.bytes(refusal), by: &session)
            }
        }
    }

    @Test func aForgedOrRepeatedResponseEndsTheSession() throws {
        var session = try session()
        _ = try send(&session)
        try receive(try vector("Connect, response:"), by: &session)
        _ = try send(&session)
        let welcome = try vector("Authenticate, response")
        for place in 0..<64 {
            var changed = welcome
            changed[place] ^= 1
            var copy = session
            #expect(throws: SessionFailure.self) { try receive(changed, by: &copy) }
            #expect(!copy.isReady, "byte \(place)")
        }
        try receive(welcome, by: &session)
        #expect(throws: SessionFailure.forgedResponse) { try receive(welcome, by: &session) }
    }
}
