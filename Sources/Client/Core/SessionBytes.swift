// SessionBytes: a ClientSession with its bytes on their way out and in: the session between a
// stream and whoever submits.
//
// Always holds: it sends and receives in the same call, so that two full buffers can't lock up;
// values leave from the caller's memory and arrive in it, with no copy between.

internal import Wire

/// One connection's protocol and bytes.
package struct SessionBytes: ~Copyable {
    package internal(set) var session: ClientSession
    private var outgoing = OutgoingBytes()
    private var incoming = IncomingBytes()

    package init(_ session: consuming ClientSession) { self.session = session }

    /// Begins with Connect. Once.
    package mutating func start() { session.start() }

    /// Bytes that have arrived so far.
    var receivedBytes: UInt64 { incoming.receivedBytes }

    /// True while a frame waits for the stream to take more.
    var waitsToSend: Bool { outgoing.isWaiting }

    /// Moves what can be moved now in both directions, until a request has ended; true when
    /// anything moved. A stream that fails breaks the session: `session.failure` says why.
    package mutating func move(
        by stream: borrowing some ByteStream & ~Copyable, now: MonotonicTime,
        outcomes: inout [RequestOutcome]
    ) -> Bool {
        guard session.failure == nil else { return false }
        do throws(SessionFailure) {
            // First what has arrived: an end among it keeps requests from being sent in vain.
            let received = try incoming.receive(by: stream, to: &session, outcomes: &outcomes)
            do throws(SessionFailure) {
                return try outgoing.send(by: stream, from: &session, now: now) || received
            } catch {
                // A server that refuses a frame answers, then closes: the answer may still be in
                // the stream when sending has already failed.
                while try incoming.receive(by: stream, to: &session, outcomes: &outcomes) {}
                throw error
            }
        } catch {
            outcomes += session.fail(error)
            return true
        }
    }
}
