// frame: the decoder of frame headers, against its own encoder and its limits.
//
//   input   [limit of bodies u16][limit of payloads u16][header, 64 bytes]…

import Wire

enum FrameTarget {
    private static let plantsForgottenLimits =
        environment("MEMKV_FUZZ_PLANT") == "forgottenLimits"

    static func run(_ input: inout FuzzInput) {
        var limits = FrameLimits(
            maximumBodyBytes: UInt32(input.number(bytes: 2)),
            maximumPayloadBytes: UInt32(input.number(bytes: 2)) << 10)
        limits.areForgotten = plantsForgottenLimits
        repeat {
            let words = InlineArray<8, UInt64> { _ in input.number(bytes: 8) }
            check(words, limits)
        } while !input.isEmpty
    }

    private static func check(_ words: InlineArray<8, UInt64>, _ limits: FrameLimits) {
        guard let header = try? FrameHeader(words: words, limits: limits) else { return }
        precondition(header.bodyBytes <= limits.maximumBodyBytes, "a body above its limit")
        precondition(header.payloadBytes <= limits.maximumPayloadBytes, "a payload above its limit")
        let encoded = header.words
        for index in 0..<6 {
            precondition(encoded[index] == words[index], "another header than was decoded")
        }
        precondition(header.isSigned || words[6] | words[7] == 0, "a tag that nobody signed")
        if header.operation == .connect, header.isResponse {
            let body = ConnectResponse(words: [words[1], words[2], words[3], words[4], words[5]])
            precondition(ConnectResponse(words: body.words) == body, "another greeting")
        }
    }
}
