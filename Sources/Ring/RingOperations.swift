// The operations a ring offers, each one submission.
//
// Always holds: each completes exactly once with the `userData` it was given, `acceptMany`
// excepted, which says `hasMore` while it goes on. Nothing reaches the kernel before `enter`.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing
internal import Glibc

/// A file, by descriptor or by its place in the ring's table.
package enum RingFile: Hashable, Sendable {
    case descriptor(Int32)
    case registered(Int)

    fileprivate var number: Int32 {
        switch self {
        case .descriptor(let descriptor): descriptor
        case .registered(let index): Int32(index)
        }
    }
}

extension Ring {
    /// Reads into `memory` from byte `offset` of `file`. With `mayBlock` the kernel uses a worker
    /// thread.
    @unsafe
    package mutating func read(
        _ file: RingFile, into memory: UnsafeMutableRawBufferPointer, at offset: UInt64,
        mayBlock: Bool = false, userData: UInt64
    ) {
        let buffer = unsafe bufferIndex(of: memory)
        let entry = unsafe entry()
        let count = UInt32(memory.count)
        if let buffer {
            unsafe io_uring_prep_read_fixed(
                entry, file.number, memory.baseAddress, count, offset, buffer)
        } else {
            unsafe io_uring_prep_read(entry, file.number, memory.baseAddress, count, offset)
        }
        unsafe finish(entry, file, mayBlock: mayBlock, userData)
    }

    /// Writes `memory` at byte `offset` of `file`. With `mayBlock` the kernel uses a worker thread.
    @unsafe
    package mutating func write(
        _ file: RingFile, from memory: UnsafeMutableRawBufferPointer, at offset: UInt64,
        mayBlock: Bool = false, userData: UInt64
    ) {
        let buffer = unsafe bufferIndex(of: memory)
        let entry = unsafe entry()
        let count = UInt32(memory.count)
        if let buffer {
            unsafe io_uring_prep_write_fixed(
                entry, file.number, memory.baseAddress, count, offset, buffer)
        } else {
            unsafe io_uring_prep_write(entry, file.number, memory.baseAddress, count, offset)
        }
        unsafe finish(entry, file, mayBlock: mayBlock, userData)
    }

    /// fdatasync.
    package mutating func synchronizeData(_ file: RingFile, userData: UInt64) {
        let entry = unsafe entry()
        unsafe io_uring_prep_fsync(entry, file.number, UInt32(IORING_FSYNC_DATASYNC))
        unsafe finish(entry, file, userData)
    }

    /// Asks how an open file is; the answer is written to `status`, `MEMKV_FILE_STATUS_BYTES` that
    /// are the kernel's until then.
    package mutating func fileStatus(
        of descriptor: Int32, into status: UnsafeMutableRawPointer, userData: UInt64
    ) {
        let entry = unsafe entry()
        unsafe memkv_prep_file_status(entry, descriptor, status)
        unsafe finish(entry, .descriptor(descriptor), userData)
    }

    /// Frees a stretch of a file, or of a block device whose zeroing frees; its size stays.
    package mutating func punchHole(
        _ file: RingFile, at offset: UInt64, length: UInt64, userData: UInt64
    ) {
        let entry = unsafe entry()
        unsafe memkv_prep_punch_hole(entry, file.number, offset, length)
        unsafe finish(entry, file, userData)
    }

    /// Discards a stretch of a block device (Linux 6.12; older kernels answer EOPNOTSUPP or
    /// EINVAL).
    package mutating func discardBlocks(
        _ file: RingFile, at offset: UInt64, length: UInt64, userData: UInt64
    ) {
        let entry = unsafe entry()
        unsafe memkv_prep_block_discard(entry, file.number, offset, length)
        unsafe finish(entry, file, userData)
    }

    /// Accepts connections, one completion each, until one says that it was the last.
    package mutating func acceptMany(_ listener: Int32, userData: UInt64) {
        let entry = unsafe entry()
        unsafe io_uring_prep_multishot_accept(
            entry, listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    /// Receives what has come, `memory.count` bytes at most; completes with 0 at the stream's end.
    @unsafe
    package mutating func receive(
        _ socket: Int32, into memory: UnsafeMutableRawBufferPointer, userData: UInt64
    ) {
        let entry = unsafe entry()
        unsafe io_uring_prep_recv(entry, socket, memory.baseAddress, memory.count, 0)
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    /// Receives until message `index` of `vectors` is full or the stream ends.
    package mutating func receiveWhole(
        _ socket: Int32, _ vectors: borrowing MessageVectors, _ index: Int, userData: UInt64
    ) {
        let message = unsafe vectors.message(index)
        let entry = unsafe entry()
        unsafe io_uring_prep_recvmsg(entry, socket, message, UInt32(MSG_WAITALL))
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    /// Sends message `index` of `vectors`, all of it unless the connection breaks.
    package mutating func sendWhole(
        _ socket: Int32, _ vectors: borrowing MessageVectors, _ index: Int, userData: UInt64
    ) {
        let message = unsafe vectors.message(index)
        let entry = unsafe entry()
        let flags = UInt32(MSG_WAITALL | MSG_NOSIGNAL)
        unsafe io_uring_prep_sendmsg(entry, socket, message, flags)
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    /// Completes once `waker` has been woken; whoever takes that completion calls
    /// `RingWaker.reset`.
    package mutating func awaitWake(_ waker: RingWaker, userData: UInt64) {
        awaitReadable(waker.descriptor, userData: userData)
    }

    /// Completes once `descriptor` can be read from.
    package mutating func awaitReadable(_ descriptor: Int32, userData: UInt64) {
        let entry = unsafe entry()
        unsafe io_uring_prep_poll_add(entry, descriptor, UInt32(POLLIN))
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    /// Asks for the operation submitted with `target` to end with ECANCELED, if it still can.
    package mutating func cancel(_ target: UInt64, userData: UInt64) {
        let entry = unsafe entry()
        unsafe io_uring_prep_cancel64(entry, target, 0)
        unsafe io_uring_sqe_set_data64(entry, userData)
    }

    @unsafe
    private func finish(
        _ entry: UnsafeMutablePointer<io_uring_sqe>, _ file: RingFile, mayBlock: Bool = false,
        _ userData: UInt64
    ) {
        var flags = mayBlock ? UInt32(MEMKV_SQE_ASYNC) : 0
        if case .registered = file { flags |= UInt32(MEMKV_SQE_FIXED_FILE) }
        unsafe io_uring_sqe_set_flags(entry, flags)
        unsafe io_uring_sqe_set_data64(entry, userData)
    }
}

#endif
