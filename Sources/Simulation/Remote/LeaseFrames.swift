// LeaseFrames: the messages of a leaseholder's queue pair, both ways, signed where the session has
// a key.
//
// Always holds: tags are counted as the server counts them, one for each message. Refuses a message
// that is no answer, or whose tag is wrong.

internal import Wire

struct LeaseFrames {
    private var outgoing: FrameAuthenticator?
    private var incoming: FrameAuthenticator?

    init(_ keys: QueuePairKeys?) {
        outgoing = keys.map { FrameAuthenticator(key: $0.clientToServer) }
        incoming = keys.map { FrameAuthenticator(key: $0.serverToClient) }
    }

    mutating func message(_ header: FrameHeader, _ body: [UInt64]) -> [UInt64] {
        var header = header
        header.isSigned = outgoing != nil
        var words = header.words
        if let tag = outgoing?.beginFrame(words) { words = FrameHeader.words(words, tag: tag) }
        let plain = (0..<FrameHeader.wordCount).map { words[$0] } + body
        guard !body.isEmpty, var code = outgoing?.beginBody() else { return plain }
        code.add(words: body[...])
        let tag = FrameTag(ending: code)
        return plain + [tag.words[0], tag.words[1]]
    }

    /// An answer's header and body; nil when it is none.
    mutating func answer(_ words: [UInt64]) -> (header: FrameHeader, body: [UInt64])? {
        let count = FrameHeader.wordCount
        guard words.count >= count else { return nil }
        let head = InlineArray<8, UInt64> { words[$0] }
        if let tag = incoming?.beginFrame(head), !tag.matches(FrameTag(of: head)) { return nil }
        let limits = FrameLimits(
            maximumBodyBytes: BodyLayout.bodyLimitBytes, maximumPayloadBytes: .max)
        guard let header = try? FrameHeader(words: head, limits: limits), header.isResponse,
            header.isSigned == (incoming != nil)
        else { return nil }
        let end = count + Int(header.bodyBytes / 8)
        let tags = Int(header.tagBytes(tagsPayloads: false) / 8)
        guard words.count == end + tags else { return nil }
        let body = Array(words[count..<end])
        if tags > 0, var code = incoming?.beginBody() {
            code.add(words: body[...])
            guard FrameTag(ending: code).matches(FrameTag(words: [words[end], words[end + 1]]))
            else { return nil }
        }
        return (header, body)
    }
}
