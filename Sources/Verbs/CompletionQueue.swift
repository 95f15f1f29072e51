// CompletionQueue: where the ends of a device's work arrive, and a descriptor to wait for them.
//
// Always holds: taken from by one thread. The descriptor becomes readable once after `arm`, at the
// next completion: so arm, drain once more, then wait. More work than `capacity` in flight is its
// user's mistake: the device would lose completions.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import CVerbs
internal import Glibc

/// The end of a piece of work.
package struct WorkCompletion: Hashable, Sendable {
    package let workID: UInt64
    package let status: WorkStatus
    /// Bytes of the message, for a receive that succeeded.
    package let receivedBytes: Int?
}

/// How work ended: 0, or one of libibverbs' codes.
package struct WorkStatus: Hashable, Sendable, CustomStringConvertible {
    package let code: UInt32

    package var isSuccess: Bool { code == 0 }
    /// The queue pair had failed or was closed before this work's turn came.
    package var isFlushed: Bool { code == 5 }

    package var description: String {
        unsafe String(cString: memkv_rdma_status_text(code))
    }
}

/// A completion queue with its channel.
@safe
package final class CompletionQueue: @unchecked Sendable {
    // Sendable because what changes is libibverbs' own, which locks it; one thread takes.
    package let device: RDMADevice
    package let capacity: Int
    let queue: OpaquePointer
    private let channel: OpaquePointer
    private let batch: UnsafeMutablePointer<memkv_rdma_completion>
    private var isEnded = false
    private static let batchLimit = 16

    /// For `capacity` completions at once.
    package init(_ device: RDMADevice, capacity: Int) throws(VerbsError) {
        let attempt = "to make a queue for \(capacity) completions on device \(device.name)"
        guard let channel = unsafe memkv_rdma_make_channel(device.context) else {
            throw .last(attempt)
        }
        guard
            let queue = unsafe memkv_rdma_make_queue(device.context, channel, UInt32(capacity))
        else {
            let error = VerbsError.last(attempt)
            unsafe memkv_rdma_free_channel(channel)
            throw error
        }
        self.device = device
        self.capacity = capacity
        unsafe self.queue = queue
        unsafe self.channel = channel
        unsafe batch = .allocate(capacity: Self.batchLimit)
    }

    deinit { end() }

    /// Every connection that completes to it has ended before, and nobody uses it after. Without
    /// this it ends when it is forgotten.
    package func end() {
        if isEnded { return }
        isEnded = true
        // Of a device that was taken out nothing can be freed any more: any other failure is fine.
        let result = unsafe memkv_rdma_free_queue(queue)
        precondition(result != -EBUSY, "a completion queue ends before its connections")
        unsafe memkv_rdma_free_channel(channel)
        unsafe batch.deallocate()
    }

    /// Readable when there is a notice.
    package var descriptor: Int32 { unsafe memkv_rdma_channel_descriptor(channel) }

    /// Takes the notices that made the descriptor readable, and asks for one at the next
    /// completion.
    package func arm() throws(VerbsError) {
        _ = unsafe memkv_rdma_take_notices(channel)
        let result = unsafe memkv_rdma_arm(queue)
        guard result == 0 else { throw VerbsError("to ask for notice of completions", result) }
    }

    /// Hands over up to 16 completions; how many there were.
    package func poll(_ take: (WorkCompletion) -> Void) throws(VerbsError) -> Int {
        let count = unsafe memkv_rdma_poll(queue, batch, Int32(Self.batchLimit))
        guard count >= 0 else { throw VerbsError("to take completions", count) }
        for index in 0..<Int(count) {
            let completion = unsafe batch[index]
            take(
                WorkCompletion(
                    workID: completion.work_id, status: WorkStatus(code: completion.status),
                    receivedBytes: completion.is_receive ? Int(completion.bytes) : nil))
        }
        return Int(count)
    }
}

#endif
