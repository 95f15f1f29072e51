// The scatter lists of a fixed number of messages, laid out the way the kernel wants them.
//
// Always holds: a message's list has room for `pieceLimit` pieces and never grows; the kernel reads
// a list when the operation that names it is submitted, so a list is rewritten only when that
// operation has completed.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing

/// `count` messages, each a list of up to `pieceLimit` stretches of memory.
@safe
package struct MessageVectors: ~Copyable {
    /// Pieces of one message.
    package static let pieceLimit = 64
    package let count: Int
    private let messages: UnsafeMutablePointer<msghdr>
    private let pieces: UnsafeMutablePointer<iovec>

    package init(count: Int) {
        self.count = count
        unsafe messages = .allocate(capacity: count)
        unsafe pieces = .allocate(capacity: count * Self.pieceLimit)
        unsafe pieces.initialize(repeating: iovec(), count: count * Self.pieceLimit)
        for index in 0..<count {
            var message = unsafe msghdr()
            unsafe message.msg_iov = pieces + index * Self.pieceLimit
            unsafe (messages + index).initialize(to: message)
        }
    }

    deinit {
        unsafe messages.deallocate()
        unsafe pieces.deallocate()
    }

    /// Empties message `index`'s list.
    package func clear(_ index: Int) { unsafe message(index).pointee.msg_iovlen = 0 }

    /// Pieces that message `index` still has room for.
    package func room(_ index: Int) -> Int {
        unsafe Self.pieceLimit - message(index).pointee.msg_iovlen
    }

    /// Adds a stretch at the end of message `index`; traps when its list is full.
    @unsafe
    package func append(_ bytes: UnsafeMutableRawBufferPointer, to index: Int) {
        precondition(room(index) > 0, "message \(index) has \(Self.pieceLimit) pieces already")
        let message = unsafe message(index)
        unsafe message.pointee.msg_iov[message.pointee.msg_iovlen] = iovec(
            iov_base: bytes.baseAddress, iov_len: bytes.count)
        unsafe message.pointee.msg_iovlen += 1
    }

    func message(_ index: Int) -> UnsafeMutablePointer<msghdr> {
        precondition(index >= 0 && index < count, "message \(index) of \(count)")
        return unsafe messages + index
    }
}

#endif
