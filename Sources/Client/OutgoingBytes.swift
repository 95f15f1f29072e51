// OutgoingBytes: the frame that is leaving, stretch by stretch.

internal import Wire

/// One frame on its way into a stream, then the next.
struct OutgoingBytes {
    private let prologue = OwnedBytes(count: maximumPrologueBytes)
    private let zeros = OwnedBytes(count: Int(BodyLayout.batchAlignmentBytes))
    private var stretches: ArraySlice<SourceBytes> = []
    private var hasFrame = false

    /// True while a frame waits for the stream to take more.
    var isWaiting: Bool { hasFrame }

    /// Sends frames until the stream takes no more; true when a byte left.
    mutating func send(
        by stream: borrowing some ByteStream & ~Copyable, from session: inout ClientSession,
        now: MonotonicTime
    ) throws(SessionFailure) -> Bool {
        var moved = false
        while true {
            if !hasFrame {
                guard let frame = session.nextFrame(now: now) else { return moved }
                load(frame)
            }
            while let stretch = stretches.first {
                switch stream.send(stretch, more: stretches.count > 1) {
                case .moved(let count):
                    moved = true
                    if count == stretch.count {
                        stretches.removeFirst()
                    } else {
                        stretches[stretches.startIndex] = stretch.slice(
                            from: count, count: stretch.count - count)
                    }
                case .wouldBlock: return moved
                case .closed: throw .closedByServer
                case .failed(let sentence): throw .socket(sentence)
                }
            }
            hasFrame = false
            session.frameSent()
        }
    }

    private mutating func load(_ frame: OutgoingFrame) {
        prologue.store(words: frame.words, at: 0)
        stretches = [prologue.source(count: frame.words.count * 8)]
        for segment in frame.payload {
            switch segment {
            case .value(let bytes): stretches.append(bytes)
            case .padding(let count): stretches.append(zeros.source(count: count))
            }
        }
        hasFrame = true
    }

    /// A header, the longest body and the tags behind it.
    private static let maximumPrologueBytes =
        FrameHeader.byteCount + Int(BodyLayout.bodyLimitBytes) + 2 * FrameTag.byteCount
}
