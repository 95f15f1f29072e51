// FrameAuthenticator: the tags of one direction of a connection, frame after frame.
//
// Always holds: the frames are numbered from 0 in the order in which their headers are tagged; the
// number goes into every tag and is never sent, so a frame that was repeated, left out or moved has
// a tag that doesn't fit. Header, body and payload of one frame have different tags even where
// their bytes are equal.
//
//   tag = the first 16 bytes of HMAC-SHA256(key of the direction,
//             [number u64][part u64: 1 header, 2 body, 3 payload][bytes])

/// One direction's key and count of frames.
package struct FrameAuthenticator: Sendable {
    private enum Part: UInt64 { case header = 1, body, payload }

    private var key: MessageKey
    /// Of the frame whose header was tagged last; -1 before the first.
    private var frameNumber = UInt64.max

    package init(key: Secret) { self.key = MessageKey(key) }

    /// Begins the next frame: the tag of its header, given as its eight words. The last two, where
    /// the tag itself stands, aren't looked at.
    package mutating func beginFrame(_ header: InlineArray<8, UInt64>) -> FrameTag {
        frameNumber &+= 1
        var message = InlineArray<8, UInt64> { $0 < 2 ? 0 : header[$0 - 2] }
        message[0] = frameNumber
        message[1] = Part.header.rawValue
        var code = MessageCode(key)
        code.add(message)
        return FrameTag(code.end())
    }

    /// Takes the body's bytes of the frame that was begun; its tag is `FrameTag.init(ending:)`.
    package func beginBody() -> MessageCode { begin(.body) }

    /// The same for the payload.
    package func beginPayload() -> MessageCode { begin(.payload) }

    private func begin(_ part: Part) -> MessageCode {
        var code = MessageCode(key)
        code.add(frameNumber)
        code.add(part.rawValue)
        return code
    }

    /// Overwrites the key: the connection is gone.
    package mutating func forget() { key.forget() }
}

extension FrameTag {
    /// The tag of everything that was added to `code`.
    package init(ending code: consuming MessageCode) { self.init(code.end()) }

    /// The tag that a header carries.
    package init(of header: InlineArray<8, UInt64>) { self.init(words: [header[6], header[7]]) }
}

extension FrameHeader {
    /// The same header, said to be signed.
    package static func signed(_ words: InlineArray<8, UInt64>) -> InlineArray<8, UInt64> {
        var signed = words
        signed[0] |= UInt64(signedFlag) << 56
        return signed
    }

    /// Whether a header that isn't believed yet says that it is signed.
    package static func saysSigned(_ words: InlineArray<8, UInt64>) -> Bool {
        words[0] >> 56 & UInt64(signedFlag) != 0
    }

    /// The header as eight little-endian words that end with `tag`.
    package static func words(
        _ words: InlineArray<8, UInt64>, tag: FrameTag
    ) -> InlineArray<8, UInt64> {
        var tagged = words
        tagged[6] = tag.words[0]
        tagged[7] = tag.words[1]
        return tagged
    }
}
