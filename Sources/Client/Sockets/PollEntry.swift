// PollEntry: what is waited for on one descriptor, and the one call that waits. One of the files
// that may say `unsafe`.

private import Glibc

/// A descriptor, what is asked of it, and what it can do.
struct PollEntry {
    let descriptor: Int32
    let forSending: Bool
    let forReceiving: Bool
    /// After `wait`: bytes, an end or an error are there to be received.
    private(set) var canReceive = false
    /// After `wait`: bytes can be sent, or would fail.
    private(set) var canSend = false

    init(descriptor: Int32, forSending: Bool, forReceiving: Bool) {
        self.descriptor = descriptor
        self.forSending = forSending
        self.forReceiving = forReceiving
    }

    /// Waits until one of `entries` can do what is asked, or for a signal, at most until
    /// `deadline`. True when one can.
    static func wait(_ entries: inout [PollEntry], until deadline: MonotonicTime) -> Bool {
        var list = entries.map { entry in
            pollfd(
                fd: entry.descriptor,
                events: Int16(
                    (entry.forSending ? POLLOUT : 0) | (entry.forReceiving ? POLLIN : 0)),
                revents: 0)
        }
        let remaining = deadline.microseconds(since: Socket.now)
        // Rounded up: waking early would spin through the last millisecond.
        let milliseconds = Int32(
            clamping: remaining.addingReportingOverflow(999).partialValue / 1000)
        guard unsafe poll(&list, nfds_t(list.count), milliseconds) > 0 else { return false }
        let broken = Int16(POLLERR | POLLHUP | POLLNVAL)
        for index in entries.indices {
            let events = list[index].revents
            entries[index].canReceive = events & (Int16(POLLIN) | broken) != 0
            entries[index].canSend = events & (Int16(POLLOUT) | broken) != 0
        }
        return true
    }
}
