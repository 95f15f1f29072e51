// SessionMessages: a ClientSession over a queue pair, with its messages and the memory that they
// name: what SessionBytes is over a stream.
//
// Always holds: a request's memory is exposed from its submission until its response has been
// verified, or the queue pair is closed. A read that ends by its deadline ends the session with it,
// since the server may still write: whoever has this closes the queue pair before the caller hears
// of either.

internal import Wire

struct SessionMessages<Pair: ClientQueuePair> {
    private(set) var session: ClientSession
    let pair: Pair
    private(set) var receivedCount: UInt64 = 0
    private var exposures: [UInt64: Exposure] = [:]
    /// Why memory couldn't be exposed: the end of the session, at the next move.
    private var problem: SessionFailure?

    init(_ session: ClientSession, over pair: Pair) {
        self.session = session
        self.pair = pair
    }

    mutating func submit(
        _ request: ClientRequest, checksums: [UInt64], deadline: MonotonicTime
    ) throws(SubmitError) -> RequestTag {
        let memory = request.valueMemory
        var exposure: Exposure?
        if !memory.isEmpty {
            do throws(SessionFailure) {
                exposure = try pair.expose(memory)
            } catch {
                problem = error
            }
        }
        let none = RemoteSegment(address: 0, remoteKey: 0, lengthBytes: 1)
        let tag = try session.submit(
            request, checksums: checksums,
            segments: exposure?.segments ?? memory.map { _ in none }, deadline: deadline)
        exposures[tag.rawValue] = exposure
        return tag
    }

    /// Moves what can be moved now in both directions; true when anything moved. A queue pair that
    /// fails breaks the session: `session.failure` says why.
    mutating func move(now: MonotonicTime, outcomes: inout [RequestOutcome]) -> Bool {
        guard session.failure == nil else { return false }
        var moved = false
        do throws(SessionFailure) {
            if let problem { throw problem }
            while let words = try pair.receive() {
                moved = true
                receivedCount += 1
                if let outcome = try take(words) { outcomes.append(outcome) }
            }
            while pair.maySend, let frame = session.nextFrame(now: now) {
                moved = true
                try pair.send(frame.words)
                session.frameSent()
            }
        } catch {
            outcomes += session.fail(error)
            return true
        }
        return moved
    }

    /// One message: a header, its body, the body's tag.
    private mutating func take(_ words: [UInt64]) throws(SessionFailure) -> RequestOutcome? {
        let header = FrameHeader.wordCount
        guard words.count >= header else {
            throw .malformedResponse("a message of \(words.count * 8) bytes")
        }
        let rest = try session.receiveHeader(words: InlineArray { words[$0] })
        guard words.count == header + rest else {
            throw .malformedResponse(
                "a message of \(words.count * 8) bytes, whose header says \((header + rest) * 8)")
        }
        var checksums: [UInt64] = []
        for segment in try session.receiveBody(words: Array(words[header...])) {
            if case .value(let bytes) = segment { checksums.append(bytes.source.xxh3) }
        }
        defer { exposures[words[2]] = nil }
        return try session.receivePayload(checksums: checksums)
    }

    /// Answers every request whose deadline has passed.
    mutating func expire(now: MonotonicTime) -> [RequestOutcome] {
        let late = session.expire(now: now)
        return session.mayBeWrittenLate ? late + session.fail(.lateWrites) : late
    }

    /// Breaks the session, if it isn't broken yet; the queue pair must be closed.
    mutating func fail(_ failure: SessionFailure) -> [RequestOutcome] {
        exposures = [:]
        return session.fail(failure)
    }
}
