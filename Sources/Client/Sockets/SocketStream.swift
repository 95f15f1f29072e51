// SocketStream: one TCP connection as the core sees it, from the name of its host on.
//
//   resolving --addresses--> connecting --> open
//        |                     |  ^ next address
//        +-------failed--------+--+
//
// Always holds: nothing waits: names are looked up on a thread that is nobody else's, addresses in
// digits without one. Each address is tried in turn; the last one's failure is the stream's. It
// receives and sends only when a wait has said that it can, or nobody has asked yet.

private import Synchronization

package final class SocketStream: ClientStream {
    /// The host's addresses, from whatever thread finds them.
    final class Resolution: Sendable {
        private let found = Mutex<Result<[SocketAddress], ConnectError>?>(nil)

        init(_ server: ServerAddress, wakeUp: WakeUp) {
            if let literal = SocketAddress.literal(server) {
                found.withLock { $0 = .success(literal) }
                return
            }
            let started = DetachedThread.start {
                let result = Result { () throws(ConnectError) in
                    try SocketAddress.resolve(server)
                }
                self.found.withLock { $0 = result }
                wakeUp.wake()
            }
            if !started {
                found.withLock { $0 = .failure(.unreachable("no thread to look its name up")) }
            }
        }

        func result() -> Result<[SocketAddress], ConnectError>? { found.withLock { $0 } }
    }

    private enum Phase {
        case resolving(Resolution)
        case connecting(rest: ArraySlice<SocketAddress>)
        case open
        case failed(ConnectError)
        case closed
    }

    private var phase: Phase
    private var socket: Socket?
    private var mayReceive = false
    private var waitsToSend = false
    /// What a wait to receive waits for at least.
    private var awaitedBytes = 1
    private static let pieceBytes = 256 << 10

    init(to server: ServerAddress, wakeUp: WakeUp) {
        phase = .resolving(Resolution(server, wakeUp: wakeUp))
    }

    package var opening: OpeningProgress {
        advance()
        switch phase {
        case .resolving, .connecting: return .pending
        case .open: return .open
        case .failed(let error): return .failed(error)
        case .closed: preconditionFailure("a stream that was closed is asked how it opens")
        }
    }

    private func advance() {
        if case .resolving(let resolution) = phase, let result = resolution.result() {
            switch result {
            case .success(let addresses): tryNext(of: addresses[...], after: .refused)
            case .failure(let error): phase = .failed(error)
            }
        }
        while case .connecting(let rest) = phase, let ended = socket?.connectEnded() {
            switch ended {
            case .pending: return
            case .open: phase = .open
            case .failed(let error): tryNext(of: rest, after: error)
            }
        }
    }

    private func tryNext(of addresses: ArraySlice<SocketAddress>, after failure: ConnectError) {
        socket = nil
        var failure = failure
        for index in addresses.indices {
            do throws(ConnectError) {
                socket = try Socket.begin(to: addresses[index])
                phase = .connecting(rest: addresses[(index + 1)...])
                return
            } catch {
                failure = error
            }
        }
        phase = .failed(failure)
    }

    package func send(_ bytes: SourceBytes, more: Bool) -> SocketProgress {
        guard !waitsToSend, let progress = socket?.send(bytes, more: more) else {
            return .wouldBlock
        }
        switch progress {
        case .wouldBlock: waitsToSend = true
        // Whatever the server said last is there, though no wait has told of it.
        case .failed, .closed: mayReceive = true
        case .moved: break
        }
        return progress
    }

    package func receive(into bytes: DestinationBytes) -> SocketProgress {
        guard mayReceive, let progress = socket?.receive(into: bytes) else { return .wouldBlock }
        if case .wouldBlock = progress {
            mayReceive = false
            wait(forBytesOf: bytes.count)
        }
        return progress
    }

    /// Of a long value, the next wait is for a good piece: to be woken for every packet costs the
    /// server, whose packet it is, and the client more than the bytes.
    private func wait(forBytesOf count: Int) {
        let wanted = count < Self.pieceBytes ? 1 : Self.pieceBytes
        guard wanted != awaitedBytes else { return }
        awaitedBytes = wanted
        socket?.setLeastAwaited(bytes: wanted)
    }

    package func close() {
        socket = nil
        phase = .closed
    }

    // MARK: Waiting

    var isClosed: Bool {
        if case .closed = phase { true } else { false }
    }

    /// What must be waited for; nil while there is no socket, or nothing to learn from it.
    var interest: PollEntry? {
        guard let descriptor = socket?.descriptor else { return nil }
        switch phase {
        case .connecting:
            return PollEntry(descriptor: descriptor, forSending: true, forReceiving: false)
        case .open:
            return PollEntry(
                descriptor: descriptor, forSending: waitsToSend, forReceiving: !mayReceive)
        case .resolving, .failed, .closed:
            return nil
        }
    }

    /// What a wait has told.
    func note(_ entry: PollEntry) {
        if entry.canReceive { mayReceive = true }
        if entry.canSend { waitsToSend = false }
    }
}
