// Docs/rdma.md against the code: its test vectors and its table of operations.

import Foundation
import Testing
import Wire

@testable import Client

@Suite struct QueuePairDocumentTests {
    private static let sessionID: UInt64 = 0x0102_0304_0506_0708

    private func document() throws -> String {
        let path = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Docs/rdma.md")
        return try String(contentsOf: path, encoding: .utf8)
    }

    private func words(_ bytes: ClosedRange<UInt8>) -> [UInt64] {
        let bytes = Array(bytes)
        return stride(from: 0, to: bytes.count, by: 8).map { start in
            (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
        }
    }

    private func keys(signed: Bool) -> QueuePairKeys {
        let secret = words(0...31)
        return QueuePairKeys(
            secret: signed ? Secret(words: InlineArray { secret[$0] }) : nil,
            sessionID: Self.sessionID, nonce: nonce)
    }

    private var nonce: QueuePairNonce {
        let words = words(128...143)
        return QueuePairNonce(words: [words[0], words[1]])
    }

    /// Expects `words` under `title`, as the document prints bytes.
    private func expect(_ title: String, _ words: [UInt64]) throws {
        let bytes = ReferenceRequest.bytes(words)
        let lines = stride(from: 0, to: bytes.count, by: 16).map { start in
            let place = String(start, radix: 16)
            return "    " + String(repeating: "0", count: 4 - place.count) + place + "  "
                + bytes[start..<min(start + 16, bytes.count)].map {
                    ($0 < 16 ? "0" : "") + String($0, radix: 16)
                }.joined(separator: " ")
        }
        let text = "\n\(title)\n\n" + lines.joined(separator: "\n") + "\n"
        #expect(try document().contains(text), "\(text)")
    }

    private func expect(_ title: String, _ secret: Secret) throws {
        try expect(title, (0..<4).map { secret.words[$0] })
    }

    @Test func theOfferIsTheDocuments() throws {
        let offer = QueuePairOffer(
            port: 9900, credits: 64, messageLimitBytes: 16640, sessionID: Self.sessionID,
            nonce: nonce,
            addresses: [
                DeviceAddress(192, 0, 2, 1),
                DeviceAddress(bytes: [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            ])
        try expect("RdmaOpen's offer:", offer.words)
    }

    @Test func theKeysAreTheDocuments() throws {
        let keys = keys(signed: true)
        try expect("Key of the greetings:", keys.greeting)
        try expect("Key from client to server:", keys.clientToServer)
        try expect("Key from server to client:", keys.serverToClient)
    }

    @Test func theGreetingsAreTheDocuments() throws {
        func greeting(_ role: QueuePairRole, signed: Bool) -> [UInt64] {
            let words = QueuePairGreeting(
                from: role, sessionID: Self.sessionID, nonce: nonce, keys: keys(signed: signed)
            ).words
            return (0..<6).map { words[$0] }
        }
        try expect("The client's greeting:", greeting(.client, signed: true))
        try expect("The server's greeting:", greeting(.server, signed: true))
        try expect(
            "The client's greeting in a session without a key:", greeting(.client, signed: false))
    }

    @Test func theWriteIsTheDocuments() throws {
        let key = words(32...63)
        let segment = RemoteSegment(
            address: 0x7F00_0000_1000, remoteKey: 0xABCD, lengthBytes: 13)
        let body = key + [1, segment.words[0], segment.words[1]]
        let header = FrameHeader(
            operation: .write, namespace: Namespace(7), requestID: 1,
            bodyBytes: UInt32(body.count * 8), payloadBytes: 13,
            payloadChecksum: 0x9F0B_976D_8B0D_651B, deadlineMicroseconds: 30_000_000,
            isSigned: true)
        var authenticator = FrameAuthenticator(key: keys(signed: true).clientToServer)
        let signed = FrameHeader.words(header.words, tag: authenticator.beginFrame(header.words))
        var code = authenticator.beginBody()
        code.add(words: body[...])
        let tag = FrameTag(ending: code)
        try expect(
            "Write, request (frame 0 of the client):",
            (0..<8).map { signed[$0] } + body + [tag.words[0], tag.words[1]])
    }

    @Test func everyOperationWithMemoryStandsInTheTable() throws {
        let text = try document()
        for operation in OperationCode.allCases {
            guard let stream = operation.withValuesInPayload else { continue }
            func name(_ operation: OperationCode) -> String {
                "\(operation)".prefix(1).uppercased() + "\(operation)".dropFirst()
            }
            let code = String(operation.rawValue, radix: 16)
            #expect(text.contains("| `0x\(code)` | \(name(operation)) | \(name(stream)) |"))
        }
    }
}
