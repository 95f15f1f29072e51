// The header's 64 bytes: every field where Docs/wire-protocol.md says it is, every refusal by name.

import Testing

@testable import Wire

@Suite struct FrameHeaderTests {
    let limits = FrameLimits(maximumBodyBytes: 1 << 12, maximumPayloadBytes: 1 << 24)

    @Test func decodingAnEncodedHeaderGivesTheSameHeader() throws {
        let header = FrameHeader(
            operation: .tcpPut, status: .ok, namespace: Namespace(7),
            requestID: 0x1122_3344_5566_7788,
            bodyBytes: 32, payloadBytes: 1 << 22, payloadChecksum: 0xFEED, deadlineMicroseconds: 99)
        #expect(try FrameHeader(words: header.words, limits: limits) == header)
    }

    @Test func aHigherVersionIsRefusedByName() {
        var words = FrameHeader(operation: .tcpGet, requestID: 1).words
        words[0] = words[0] & ~(0xFFFF << 32) | 2 << 32
        #expect(throws: FrameError.unsupportedVersion(2)) {
            try FrameHeader(words: words, limits: limits)
        }
    }

    @Test func aLengthAboveItsLimitIsRefused() {
        let words = FrameHeader(operation: .tcpPut, requestID: 1, payloadBytes: 1 << 25).words
        #expect(throws: FrameError.payloadTooLarge(lengthBytes: 1 << 25, limitBytes: 1 << 24)) {
            try FrameHeader(words: words, limits: limits)
        }
    }
}
