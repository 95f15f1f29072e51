// Registrations: memory and files that the kernel looks up once instead of at every operation.
//
// Always holds: memory is registered in chunks of 1 GiB, the kernel's limit; a stretch that
// straddles two chunks isn't registered as one, and is then read and written as ordinary memory.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing
internal import Glibc

extension Ring {
    static var bufferChunkBytes: Int { 1 << 30 }

    /// Registers `memory`, which stays mapped as long as the ring. A refusal (the locked-memory
    /// limit, above all) is remembered in `features` and costs speed, nothing else.
    package mutating func registerBuffers(_ memory: UnsafeMutableRawBufferPointer) {
        precondition(bufferBytes == 0, "a ring's buffers are registered once")
        var chunks: [iovec] = unsafe []
        var start = 0
        while start < memory.count {
            let length = min(Self.bufferChunkBytes, memory.count - start)
            unsafe chunks.append(iovec(iov_base: memory.baseAddress! + start, iov_len: length))
            start += length
        }
        let result = unsafe io_uring_register_buffers(ring, chunks, UInt32(chunks.count))
        features.hasRegisteredBuffers = result >= 0
        if result < 0 {
            features.bufferRefusal = SystemError(result)
        } else {
            bufferBase = UInt(bitPattern: memory.baseAddress)
            bufferBytes = memory.count
        }
    }

    /// The chunk that holds all of a stretch of memory, or nil when none does.
    func bufferIndex(of bytes: UnsafeMutableRawBufferPointer) -> Int32? {
        let start = UInt(bitPattern: bytes.baseAddress)
        guard bufferBytes > 0, start >= bufferBase, bytes.count > 0 else { return nil }
        let first = Int(start - bufferBase)
        let last = first + bytes.count - 1
        guard last < bufferBytes else { return nil }
        let chunk = first / Self.bufferChunkBytes
        return chunk == last / Self.bufferChunkBytes ? Int32(chunk) : nil
    }

    /// Lets the kernel have as many threads for operations of this ring that block: those on a file
    /// system that is frozen must not take the threads of the others. A kernel that doesn't know
    /// this goes on with its own limit.
    package mutating func allowBlockedOperations(_ count: Int) {
        // The first is for files and block devices; 0 leaves the second, for the rest, as it is.
        var limits: [UInt32] = [UInt32(count), 0]
        _ = unsafe io_uring_register_iowq_max_workers(ring, &limits)
    }

    /// Makes an empty table of `count` files.
    package mutating func registerFileTable(count: Int) throws(RingError) {
        let result = unsafe io_uring_register_files_sparse(ring, UInt32(count))
        if result < 0 { throw .noFileTable(SystemError(result)) }
    }

    /// Puts an open file into place `index` of the table; the ring keeps it open from then on.
    package mutating func registerFile(_ descriptor: Int32, at index: Int) throws(RingError) {
        var descriptor = descriptor
        let result = unsafe io_uring_register_files_update(ring, UInt32(index), &descriptor, 1)
        if result < 0 { throw .noFileTable(SystemError(result)) }
    }

    /// Lets go of every registered file.
    package mutating func unregisterFiles() { _ = unsafe io_uring_unregister_files(ring) }
}

#endif
