// Every refusal of a header, each by its own name, and the places of the fields as the document
// gives them.

import Testing

@testable import Wire

@Suite struct FrameRefusalTests {
    private let limits = FrameLimits(maximumBodyBytes: 64, maximumPayloadBytes: 1024)

    /// A good header with one stretch of bits replaced.
    private func decode(
        word: Int, shift: UInt64, width: UInt64, value: UInt64
    ) throws(FrameError) -> FrameHeader {
        var words = FrameHeader(
            operation: .tcpGet, namespace: Namespace(3), requestID: 5, bodyBytes: 32,
            payloadChecksum: 7, deadlineMicroseconds: 9
        ).words
        let mask = (UInt64(1) << width - 1) << shift
        words[word] = words[word] & ~mask | value << shift
        return try FrameHeader(words: words, limits: limits)
    }

    @Test func eachFieldIsRefusedByItsOwnName() {
        let cases: [(word: Int, shift: UInt64, width: UInt64, value: UInt64, error: FrameError)] = [
            (0, 0, 32, 1, .notAFrame(magic: 1)),
            (0, 32, 16, 0, .unsupportedVersion(0)),
            (0, 32, 16, 2, .unsupportedVersion(2)),
            (0, 48, 8, 0x26, .unknownOperation(0x26)),
            (0, 56, 8, 4, .unknownFlags(4)),
            (1, 0, 16, 200, .unknownStatus(200)),
            (1, 0, 16, 256, .unknownStatus(256)),
            (1, 16, 16, 1, .reservedNotZero),
            (3, 0, 32, 65, .bodyTooLarge(lengthBytes: 65, limitBytes: 64)),
            (3, 32, 32, 1025, .payloadTooLarge(lengthBytes: 1025, limitBytes: 1024)),
            (5, 32, 32, 1, .reservedNotZero),
        ]
        for wanted in cases {
            #expect(throws: wanted.error) {
                try decode(
                    word: wanted.word, shift: wanted.shift, width: wanted.width,
                    value: wanted.value)
            }
        }
    }

    @Test func lengthsAtTheirLimitsAreTaken() throws {
        #expect(try decode(word: 3, shift: 0, width: 32, value: 64).bodyBytes == 64)
        #expect(try decode(word: 3, shift: 32, width: 32, value: 1024).payloadBytes == 1024)
    }

    /// Seed 0xF4A3: whatever is accepted encodes to the very same words, but for the tag.
    @Test func whatIsAcceptedEncodesToItself() {
        var state: UInt64 = 0xF4A3
        func next() -> UInt64 {
            state = state &+ 1
            return BlockKey.finalize(state)
        }
        var accepted = 0
        for _ in 0..<50_000 {
            var words = FrameHeader(operation: .tcpPut, requestID: next()).words
            for _ in 0..<(1 + next() % 3) { words[Int(next() % 6)] ^= 1 << (next() & 63) }
            guard let header = try? FrameHeader(words: words, limits: limits) else { continue }
            accepted += 1
            for index in 0..<6 { #expect(header.words[index] == words[index]) }
        }
        #expect(accepted > 1000)
    }
}
