// Socket: a non-blocking TCP socket and the monotonic clock; the client's system calls on both.
//
// Always holds: the descriptor is closed once, when the socket goes; no call waits except `connect`
// and `wait`, and those no longer than they are told. One of the files that may say `unsafe`.

internal import Glibc
private import Wire

/// What one attempt to move bytes did.
package enum SocketProgress {
    case moved(Int)
    case wouldBlock
    case closed
    case failed(String)
}

/// Why a server can't be reached.
package enum ConnectError: Error, Hashable, Sendable {
    case unknownHost(String)
    /// Nobody listens there.
    case refused
    case timedOut
    case unreachable(String)
    /// RDMA is asked for, and this machine has no device for it, with a sentence for it.
    case noDevice(String)
    /// The server was reached and the session couldn't be opened, or broke.
    case session(SessionFailure)

    /// Whether it comes from what client and server are told to be, their keys above all: nobody
    /// should wait for it to change.
    package var isLasting: Bool {
        switch self {
        case .session(.connectRefused(.unauthenticated)), .session(.wrongServerProof),
            .session(.queuePairRefused(.unsupported, _)), .noDevice:
            true
        default: false
        }
    }
}

package struct Socket: ~Copyable, ByteStream {
    let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { _ = Glibc.close(descriptor) }

    /// Nanoseconds of CLOCK_MONOTONIC.
    package static var now: MonotonicTime {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(
            nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    // MARK: Connecting

    /// Connects to the first of the host's addresses that answers.
    package static func connect(
        to server: ServerAddress, until deadline: MonotonicTime
    ) throws(ConnectError) -> Socket {
        var failure = ConnectError.unknownHost("it has no address")
        for address in try SocketAddress.resolve(server) {
            let candidate = try begin(to: address)
            var ended = candidate.connectEnded()
            while ended == nil {
                guard Socket.now < deadline else { break }
                _ = candidate.wait(forSending: true, forReceiving: false, until: deadline)
                ended = candidate.connectEnded()
            }
            guard let ended else { throw .timedOut }
            if ended == .open { return candidate }
            if case .failed(let problem) = ended { failure = problem }
        }
        throw failure
    }

    /// Begins to connect to one address; `connectEnded` tells the rest.
    static func begin(to address: SocketAddress) throws(ConnectError) -> Socket {
        let descriptor = socket(
            address.family,
            Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .unreachable(sentence(for: errno)) }
        let candidate = Socket(descriptor: descriptor)
        var on: Int32 = 1
        // Small frames must not wait for the acknowledgement of earlier ones.
        unsafe setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        let begun = unsafe address.bytes.withUnsafeBytes { bytes in
            unsafe Glibc.connect(
                descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                socklen_t(bytes.count))
        }
        if begun != 0, errno != EINPROGRESS { throw failure(for: errno) }
        return candidate
    }

    /// How a connect that was begun has ended; nil while it hasn't.
    func connectEnded() -> OpeningProgress? {
        var entry = pollfd()
        entry.fd = descriptor
        entry.events = Int16(POLLOUT)
        guard unsafe poll(&entry, 1, 0) > 0 else { return nil }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        return code == 0 ? .open : .failed(Socket.failure(for: code))
    }

    private static func failure(for code: Int32) -> ConnectError {
        switch code {
        case ECONNREFUSED: .refused
        case ETIMEDOUT: .timedOut
        default: .unreachable(sentence(for: code))
        }
    }

    // MARK: Moving bytes

    /// Sends what the socket takes now. `more` says that the frame goes on after these bytes.
    package func send(_ bytes: SourceBytes, more: Bool) -> SocketProgress {
        let flags = Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0)
        return Socket.progress(
            unsafe Glibc.send(descriptor, bytes.address, bytes.count, flags), zeroMeansClosed: false
        )
    }

    /// Receives what has arrived, as much as fits.
    package func receive(into bytes: DestinationBytes) -> SocketProgress {
        Socket.progress(
            unsafe recv(descriptor, bytes.address, bytes.count, 0), zeroMeansClosed: true)
    }

    /// From now on the socket counts as readable when so many bytes have come, or the peer's last
    /// (SO_RCVLOWAT, socket(7)).
    func setLeastAwaited(bytes: Int) {
        var count = Int32(bytes)
        unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVLOWAT, &count, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Waits until the socket can do what is asked, or for a signal, at most until `deadline`. True
    /// when it can.
    package func wait(forSending: Bool, forReceiving: Bool, until deadline: MonotonicTime) -> Bool {
        var entries = [
            PollEntry(descriptor: descriptor, forSending: forSending, forReceiving: forReceiving)
        ]
        return PollEntry.wait(&entries, until: deadline)
    }

    private static func progress(_ result: Int, zeroMeansClosed: Bool) -> SocketProgress {
        if result > 0 { return .moved(result) }
        if result == 0 { return zeroMeansClosed ? .closed : .moved(0) }
        switch errno {
        case EAGAIN, EINTR: return .wouldBlock
        case let code: return .failed(sentence(for: code))
        }
    }

    static func sentence(for code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
