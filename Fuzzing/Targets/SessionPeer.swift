// Peer: a client of the session target: the bytes it has sent, and what they mean.
//
// Always holds: its reading of the stream shares nothing with the transport's but the decoder of
// headers, which the frame target covers; the handshake and the tags are the real client's.

import Wire

@testable import Client

/// The keys of the session target.
enum SessionKeys {
    /// What a server asks for.
    enum Demand: Int {
        case none, key, keyAndPayloadTags
    }

    /// The first opens everything, the second two namespaces; no server knows the third.
    static let all: [AuthenticationKey] = (1...3).map {
        AuthenticationKey(Secret(words: [$0, 2, 3, 4]))
    }
    private static let namespaces = [Namespace(1), Namespace(2)]

    static let scoped: [ScopedKey] = [
        ScopedKey(key: all[0], namespaces: nil), ScopedKey(key: all[1], namespaces: namespaces),
    ]

    static func opens(_ key: Int?, _ namespace: Namespace) -> Bool {
        key == 1 ? namespaces.contains(namespace) : true
    }
}

/// One frame of a stream.
struct SentFrame {
    let header: FrameHeader
    /// Its tags were made by who has the key.
    let isGenuine: Bool
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
    private let tagsPayloads: Bool
    /// Which key it shows, once it does.
    private var key: Int?
    private var authentication: ClientAuthentication?
    private var isSigning = false
    /// Where frames begin in the stream that it has signed.
    private var genuine: Set<Int> = []

    private static let streamLimit = 256 << 10
    private static let limits = FrameLimits(maximumBodyBytes: .max, maximumPayloadBytes: .max)

    init(descriptor: Int32, tagsPayloads: Bool) {
        self.descriptor = descriptor
        self.tagsPayloads = tagsPayloads
    }

    var undelivered: ArraySlice<UInt8> { stream[delivered...] }

    // MARK: Writing

    mutating func write(_ bytes: [UInt8]) {
        if stream.count < Self.streamLimit { stream += bytes }
    }

    /// Connect without a key, or with one; or the proof that a challenge asks for.
    mutating func greet(_ choice: UInt8) {
        switch choice & 3 {
        case 2 where authentication != nil: break
        case 0, 1:
            write(
                FrameHeader(
                    operation: .connect, requestID: 1, bodyBytes: BodyLayout.connectRequestBytes))
            write(word: choice & 1 == 0 ? 0x0001_0001 : UInt64(choice) << 8)
        case 2:
            let key = Int(choice >> 2) % SessionKeys.all.count
            self.key = key
            authentication = ClientAuthentication(
                Credentials(key: SessionKeys.all[key], nonce: Nonce(words: [5, 6, 7, 8])))
            if let frame = authentication?.connect(id: 1, versions: 0x0001_0001) { write(frame) }
        default: prove()
        }
    }

    /// Answers the challenge, if that is what the server has sent first.
    private mutating func prove() {
        let length = Int(BodyLayout.connectWithKeyResponseBytes)
        guard sent.count >= FrameHeader.byteCount + length, !isSigning,
            let header = Self.header(of: sent[...]), Int(header.bodyBytes) == length
        else { return }
        let body = (0..<length / 8).map { Self.word(of: sent[...], FrameHeader.wordCount + $0) }
        do throws(SessionFailure) {
            try authentication?.challenged(header, body: body)
        } catch {
            // What the server answered wasn't this greeting alone.
            return
        }
        guard let frame = authentication?.authenticate(id: 2) else { return }
        write(frame)
        isSigning = true
    }

    private mutating func write(_ frame: OutgoingFrame) {
        write(words: frame.words)
        for segment in frame.payload {
            if case .value(let bytes) = segment { write(unsafe [UInt8](bytes.buffer)) }
        }
    }

    /// A frame whose fields the input chooses, believable ones above all.
    mutating func writeFrame(_ input: inout FuzzInput) {
        let operations = OperationCode.allCases
        let choice = input.byte()
        var header = FrameHeader(
            operation: operations[Int(choice) % operations.count],
            namespace: Namespace(UInt32(choice)), requestID: UInt64(stream.count))
        let lengths = input.number(bytes: 3)
        header.bodyBytes = UInt32(lengths & 0x3F) * 8
        header.payloadBytes = UInt32(lengths >> 8 & 0x3FFF)
        if lengths >> 22 & 1 != 0 { header.deadlineMicroseconds = UInt32(input.byte()) * 1000 }
        if lengths >> 23 & 1 != 0 {
            header.bodyBytes = UInt32(input.number(bytes: 2))
            header.isSigned = header.bodyBytes & 1 != 0
            header.isResponse = header.bodyBytes & 2 != 0
        }
        header.payloadChecksum = UInt64(choice)
        let bodyBytes = Int(min(header.bodyBytes, 32 << 10))
        let body = content(bodyBytes)
        let payload = content(Int(min(header.payloadBytes, 16 << 10)))
        if isSigning, bodyBytes % 8 == 0, !header.isSigned {
            writeSigned(header, body, payload)
        } else {
            write(header)
            write(body)
            write(payload)
        }
    }

    /// Bytes that say where in the stream they were written.
    private func content(_ count: Int) -> [UInt8] {
        let start = stream.count % 1024
        return Array(Self.pattern[start..<start + count])
    }

    private static let pattern = (0..<33 << 10).map { UInt8(truncatingIfNeeded: ($0 * 7) >> 2) }

    private mutating func writeSigned(_ header: FrameHeader, _ body: [UInt8], _ payload: [UInt8]) {
        let headerWords = header.words
        let words =
            (0..<FrameHeader.wordCount).map { headerWords[$0] }
            + (0..<body.count / 8).map { Self.word(of: body[...], $0) }
        let value = OwnedBytes(payload)
        let frame = OutgoingFrame(
            tag: RequestTag(1), words: words, payload: payload.isEmpty ? [] : [.value(value.source)]
        )
        guard let signed = authentication?.sign(frame) else { return }
        genuine.insert(stream.count)
        write(signed)
    }

    private mutating func write(_ header: FrameHeader) {
        let words = header.words
        write(words: (0..<FrameHeader.wordCount).map { words[$0] })
    }

    private mutating func write(word: UInt64) { write(words: [word]) }

    private mutating func write(words: [UInt64]) {
        unsafe words.withUnsafeBytes { unsafe write([UInt8]($0)) }
    }

    // MARK: Reading

    /// The stream's next frame that is for the engine; traps when it hasn't been handed over whole.
    /// `later` names the one that is meant where those before it may have become overdue.
    mutating func nextRequest(later: UInt64?) -> SentFrame {
        while true {
            let frame = frame()
            if let later, frame.header.requestID != later { continue }
            let isHandshake = [.connect, .authenticate].contains(frame.header.operation)
            let isOpen = SessionKeys.opens(isSigning ? key : nil, frame.header.namespace)
            if !isHandshake, isOpen { return frame }
        }
    }

    private mutating func frame() -> SentFrame {
        guard let header = Self.header(of: stream[parsed..<delivered]) else {
            preconditionFailure("a request that nobody sent")
        }
        let body = parsed + FrameHeader.byteCount
        let bodyEnd = body + Int(header.bodyBytes)
        let payload = bodyEnd + Int(header.tagBytes(tagsPayloads: tagsPayloads))
        let end = payload + Int(header.payloadBytes)
        precondition(end <= delivered, "a request that hasn't come whole")
        let isGenuine = genuine.contains(parsed)
        parsed = end
        return SentFrame(
            header: header, isGenuine: isGenuine, body: stream[body..<bodyEnd],
            payload: stream[payload..<end])
    }

    private static func header(of bytes: ArraySlice<UInt8>) -> FrameHeader? {
        guard bytes.count >= FrameHeader.byteCount else { return nil }
        let words = InlineArray<8, UInt64> { word(of: bytes, $0) }
        return try? FrameHeader(words: words, limits: limits)
    }

    /// The `index`-th little-endian word of `bytes`.
    private static func word(of bytes: ArraySlice<UInt8>, _ index: Int) -> UInt64 {
        unsafe bytes.withUnsafeBytes { bytes in
            UInt64(
                littleEndian: unsafe bytes.loadUnaligned(
                    fromByteOffset: index * 8, as: UInt64.self))
        }
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
                + Int(header.tagBytes(tagsPayloads: tagsPayloads))
            rest = rest.dropFirst(length)
        }
    }
}
