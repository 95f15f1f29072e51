// Peer: a client of the session target: the bytes it has sent, and what they mean.
//
// Always holds: its reading of the stream shares nothing with the transport's but the decoder of
// headers, which the frame target covers.

import Wire

/// One frame of a stream.
struct SentFrame {
    let header: FrameHeader
    let body: ArraySlice<UInt8>
    let payload: ArraySlice<UInt8>
}

/// One client's connection.
struct Peer {
    let descriptor: Int32
    /// Everything it has written.
    private(set) var stream: [UInt8] = []
    /// Bytes of it that the kernel has handed over.
    var delivered = 0
    /// Bytes of it that have been seen as frames.
    private var parsed = 0
    /// Everything the server has sent.
    var sent: [UInt8] = []

    private static let streamLimit = 256 << 10
    private static let limits = FrameLimits(maximumBodyBytes: .max, maximumPayloadBytes: .max)

    init(descriptor: Int32) { self.descriptor = descriptor }

    var undelivered: ArraySlice<UInt8> { stream[delivered...] }

    // MARK: Writing

    mutating func write(_ bytes: [UInt8]) {
        if stream.count < Self.streamLimit { stream += bytes }
    }

    mutating func writeGreeting(versions: UInt64) {
        write(
            FrameHeader(
                operation: .connect, requestID: 1, bodyBytes: BodyLayout.connectRequestBytes))
        write(word: versions)
    }

    /// A frame whose fields the input chooses, believable ones above all.
    mutating func writeFrame(_ input: inout FuzzInput) {
        let operations = OperationCode.allCases
        let choice = input.byte()
        var header = FrameHeader(
            operation: operations[Int(choice) % operations.count],
            namespace: Namespace(UInt32(choice)), requestID: UInt64(stream.count))
        let lengths = input.number(bytes: 3)
        header.bodyBytes = UInt32(lengths & 0xFF) * 8
        header.payloadBytes = UInt32(lengths >> 8 & 0x3FFF)
        if lengths >> 22 & 1 != 0 { header.deadlineMicroseconds = UInt32(input.byte()) * 1000 }
        if lengths >> 23 & 1 != 0 {
            header.bodyBytes = UInt32(input.number(bytes: 2))
            header.isSigned = header.bodyBytes & 1 != 0
            header.isResponse = header.bodyBytes & 2 != 0
        }
        header.payloadChecksum = UInt64(choice)
        write(header)
        write(
            (0..<Int(min(header.bodyBytes + header.payloadBytes, 32 << 10))).map {
                UInt8(truncatingIfNeeded: $0 &* 7 &+ stream.count)
            })
    }

    private mutating func write(_ header: FrameHeader) {
        let words = header.words
        for index in 0..<FrameHeader.wordCount { write(word: words[index]) }
    }

    private mutating func write(word: UInt64) {
        write((0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) })
    }

    // MARK: Reading

    /// The stream's next frame that isn't a greeting; traps when it hasn't been handed over whole.
    mutating func nextRequest() -> SentFrame {
        while true {
            let frame = frame()
            if frame.header.operation != .connect { return frame }
        }
    }

    private mutating func frame() -> SentFrame {
        guard let header = Self.header(of: stream[parsed..<delivered]) else {
            preconditionFailure("a request that nobody sent")
        }
        let body = parsed + FrameHeader.byteCount
        let payload = body + Int(header.bodyBytes)
        let end = payload + Int(header.payloadBytes)
        precondition(end <= delivered, "a request that hasn't come whole")
        parsed = end
        return SentFrame(
            header: header, body: stream[body..<payload], payload: stream[payload..<end])
    }

    private static func header(of bytes: ArraySlice<UInt8>) -> FrameHeader? {
        guard bytes.count >= FrameHeader.byteCount else { return nil }
        var words = InlineArray<8, UInt64>(repeating: 0)
        for index in 0..<FrameHeader.byteCount {
            words[index / 8] |= UInt64(bytes[bytes.startIndex + index]) << UInt64(index % 8 * 8)
        }
        return try? FrameHeader(words: words, limits: limits)
    }

    /// Traps unless what the server sent is responses, the last of them perhaps in part.
    func checkSent() {
        var rest = sent[...]
        while rest.count >= FrameHeader.byteCount {
            guard let header = Self.header(of: rest), header.isResponse else {
                preconditionFailure("bytes were sent that are no response")
            }
            let length =
                FrameHeader.byteCount + Int(header.bodyBytes) + Int(header.payloadBytes)
            rest = rest.dropFirst(length)
        }
    }
}
