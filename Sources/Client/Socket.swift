// Socket: a connected, non-blocking TCP socket and the monotonic clock; the client's only system
// calls.
//
// Always holds: the descriptor is closed once, when the socket goes; no call waits except `connect`
// and `wait`, and those no longer than they are told. One of the files that may say `unsafe`.

private import Glibc
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
    /// The server was reached and the session couldn't be opened.
    case session(SessionFailure)

    /// Whether it comes from the keys of client and server: trying again changes nothing.
    package var isAboutKeys: Bool {
        self == .session(.connectRefused(.unauthenticated)) || self == .session(.wrongServerProof)
    }
}

package struct Socket: ~Copyable {
    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { _ = Glibc.close(descriptor) }

    /// Nanoseconds of CLOCK_MONOTONIC.
    package static var now: MonotonicTime {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(
            nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// Connects to the first of the host's addresses that answers.
    package static func connect(
        to server: ServerAddress, until deadline: MonotonicTime
    ) throws(ConnectError) -> Socket {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(server.host, String(server.port), &hints, &list)
        guard code == 0 else { throw .unknownHost(unsafe String(cString: gai_strerror(code))) }
        defer { unsafe freeaddrinfo(list) }
        var failure = ConnectError.unknownHost("it has no address")
        var next = unsafe list
        while let address = unsafe next {
            let fileDescriptor = unsafe socket(
                address.pointee.ai_family,
                address.pointee.ai_socktype | Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue),
                address.pointee.ai_protocol)
            guard fileDescriptor >= 0 else { throw .unreachable(lastErrorSentence()) }
            let candidate = Socket(descriptor: fileDescriptor)
            let begun = unsafe Glibc.connect(
                fileDescriptor, address.pointee.ai_addr, address.pointee.ai_addrlen)
            if let problem = candidate.finishConnecting(begun: begun == 0, until: deadline) {
                failure = problem
                unsafe next = address.pointee.ai_next
                continue
            }
            candidate.sendAtOnce()
            return candidate
        }
        throw failure
    }

    private func finishConnecting(begun: Bool, until deadline: MonotonicTime) -> ConnectError? {
        if begun { return nil }
        var code = errno
        if code == EINPROGRESS {
            while !wait(forSending: true, forReceiving: false, until: deadline) {
                if Socket.now >= deadline { return .timedOut }
            }
            var length = socklen_t(MemoryLayout<Int32>.size)
            unsafe getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        }
        switch code {
        case 0: return nil
        case ECONNREFUSED: return .refused
        case ETIMEDOUT: return .timedOut
        default: return .unreachable(Socket.sentence(for: code))
        }
    }

    /// Small frames must not wait for the acknowledgement of earlier ones.
    private func sendAtOnce() {
        var on: Int32 = 1
        unsafe setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

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

    /// Waits until the socket can do what is asked, or for a signal, at most until `deadline`. True
    /// when it can.
    package func wait(forSending: Bool, forReceiving: Bool, until deadline: MonotonicTime) -> Bool {
        var entry = pollfd()
        entry.fd = descriptor
        entry.events = Int16((forSending ? POLLOUT : 0) | (forReceiving ? POLLIN : 0))
        let remaining = deadline.microseconds(since: Socket.now)
        // Rounded up: waking early would spin through the last millisecond.
        let milliseconds = Int32(
            clamping: (remaining.addingReportingOverflow(999).partialValue) / 1000)
        return unsafe poll(&entry, 1, milliseconds) > 0
    }

    private static func progress(_ result: Int, zeroMeansClosed: Bool) -> SocketProgress {
        if result > 0 { return .moved(result) }
        if result == 0 { return zeroMeansClosed ? .closed : .moved(0) }
        switch errno {
        case EAGAIN, EINTR: return .wouldBlock
        case let code: return .failed(sentence(for: code))
        }
    }

    private static func lastErrorSentence() -> String { sentence(for: errno) }

    private static func sentence(for code: Int32) -> String {
        unsafe String(cString: strerror(code))
    }
}
