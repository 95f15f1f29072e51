// SocketTransport: the core's port on this machine's sockets, and the wait for all of them at once.
//
// Always holds: used by one thread, except for the wake-up. `wait` looks at every stream that isn't
// closed, so that the core may step after it without asking who was ready.

internal import Wire

struct SocketTransport: ClientTransport {
    private var streams: [SocketStream] = []
    private let wakeUp: WakeUp

    /// `wakeUp` ends a wait from another thread.
    init(wakeUp: WakeUp = WakeUp()) { self.wakeUp = wakeUp }

    mutating func open(to server: ServerAddress) -> SocketStream {
        let stream = SocketStream(to: server, wakeUp: wakeUp)
        streams.append(stream)
        return stream
    }

    mutating func drawNonce() -> Nonce {
        var generator = SystemRandomNumberGenerator()
        return Nonce(using: &generator)
    }

    /// Waits until a stream can go on, somebody wakes it, or `deadline`.
    mutating func wait(until deadline: MonotonicTime) {
        streams.removeAll { $0.isClosed }
        var waiting: [SocketStream] = []
        var entries = [
            PollEntry(descriptor: wakeUp.descriptor, forSending: false, forReceiving: true)
        ]
        for stream in streams {
            guard let entry = stream.interest else { continue }
            waiting.append(stream)
            entries.append(entry)
        }
        guard PollEntry.wait(&entries, until: deadline) else { return }
        if entries[0].canReceive { wakeUp.drain() }
        for (stream, entry) in zip(waiting, entries.dropFirst()) { stream.note(entry) }
    }
}
