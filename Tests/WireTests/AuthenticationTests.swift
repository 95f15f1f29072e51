// The arithmetic of sessions with a key, against published vectors and against itself. The
// handshake as a whole is compared with Docs/authentication.md in ClientTests.

import Testing
import Wire

private func secret(_ bytes: [UInt8]) -> Secret {
    var words = InlineArray<4, UInt64>(repeating: 0)
    for (index, byte) in bytes.enumerated() {
        words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
    }
    return Secret(words: words)
}

private func hexadecimal(_ code: Secret) -> String {
    BlockKey(namespace: Namespace(0), littleEndianWords: code.words).hexadecimal
}

private func code(key: [UInt8], _ message: [UInt8], pieceBytes: Int) -> String {
    var code = MessageCode(MessageKey(secret(key)))
    for start in stride(from: 0, to: message.count, by: pieceBytes) {
        let piece = Array(message[start..<min(start + pieceBytes, message.count)])
        unsafe piece.withUnsafeBytes { unsafe code.add($0) }
    }
    return hexadecimal(code.end())
}

@Suite struct AuthenticationTests {
    /// RFC 4231, test cases 1 to 3. A shorter key is one with zeros behind it (RFC 2104).
    @Test func theCodesAreThePublishedOnes() {
        let cases: [(key: [UInt8], message: [UInt8], code: String)] = [
            (
                Array(repeating: 0x0B, count: 20), Array("Hi There".utf8),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                Array(repeating: 0xAA, count: 20), Array(repeating: 0xDD, count: 50),
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
            ),
        ]
        for (key, message, expected) in cases {
            for pieceBytes in [1, 7, 64, 1000] {
                #expect(code(key: key, message, pieceBytes: pieceBytes) == expected)
            }
        }
    }

    @Test func zerosAreBytesLikeOthers() {
        for count in [0, 1, 511, 512, 513, 5000] {
            var counted = MessageCode(MessageKey(secret([1])))
            counted.add(zeros: count)
            let zeros = [UInt8](repeating: 0, count: count)
            #expect(hexadecimal(counted.end()) == code(key: [1], zeros, pieceBytes: 4096))
        }
    }

    @Test func oneBitMakesADifference() {
        let tag = FrameTag(words: [1, 2])
        #expect(tag.matches(FrameTag(words: [1, 2])))
        for bit in 0..<64 {
            #expect(!tag.matches(FrameTag(words: [1 ^ (1 << UInt64(bit)), 2])))
            #expect(!tag.matches(FrameTag(words: [1, 2 ^ (1 << UInt64(bit))])))
        }
        #expect(secret([1, 2]).matches(secret([1, 2])))
        #expect(!secret([1, 2]).matches(secret([1, 2] + Array(repeating: 0, count: 29) + [1])))
    }

    @Test func everyFrameAndEveryPartHasTagsOfItsOwn() {
        let header = FrameHeader(operation: .tcpGet, requestID: 7, isSigned: true).words
        func tags(of authenticator: inout FrameAuthenticator) -> [FrameTag] {
            let headers = authenticator.beginFrame(header)
            var body = authenticator.beginBody()
            var payload = authenticator.beginPayload()
            for index in 0..<6 {
                body.add(header[index])
                payload.add(header[index])
            }
            return [headers, FrameTag(ending: body), FrameTag(ending: payload)]
        }
        var sender = FrameAuthenticator(key: secret([3]))
        var receiver = FrameAuthenticator(key: secret([3]))
        var other = FrameAuthenticator(key: secret([4]))
        var seen: [FrameTag] = []
        for _ in 0..<3 {
            let sent = tags(of: &sender)
            for (left, right) in zip(sent, tags(of: &receiver)) { #expect(left.matches(right)) }
            for tag in sent + tags(of: &other) {
                #expect(!seen.contains { $0.matches(tag) })
                seen.append(tag)
            }
        }
    }

    @Test func aKeyIsSixtyFourDigitsAndNeverShown() throws {
        let text = String(repeating: "0a", count: 32)
        let key = try #require(AuthenticationKey(hexadecimal: text))
        #expect(key == AuthenticationKey(hexadecimal: text.uppercased()))
        #expect(!"\(key)".contains("0a0a"))
        for wrong in ["", String(text.dropLast()), text + "0", text.dropLast() + "g"] {
            #expect(AuthenticationKey(hexadecimal: String(wrong)) == nil)
        }
    }

    @Test func aKeyOpensItsNamespaces() throws {
        let key = try #require(AuthenticationKey(hexadecimal: String(repeating: "0a", count: 32)))
        let scoped = ScopedKey(key: key, namespaces: [Namespace(1), Namespace(5)])
        #expect((0..<7).filter { scoped.opens(Namespace($0)) } == [1, 5])
        #expect(ScopedKey(key: key, namespaces: nil).opens(Namespace(.max)))
    }
}
