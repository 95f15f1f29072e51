// Ring: one io_uring, owned by one thread.
//
// Always holds: only the thread that made it submits or waits (the kernel refuses others, and
// cancels what a thread that exits has in flight); an operation's memory belongs to the kernel from
// its call here until its completion is taken; a full submission queue is emptied into the kernel,
// never an error to the caller; completions taken out of the kernel's queue meanwhile wait in
// `reaped`, in order.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing
internal import Glibc

/// The end of one operation.
package struct RingCompletion: Sendable {
    /// What the operation was submitted with.
    package let userData: UInt64
    /// A count, or a negative errno.
    package let result: Int32
    /// True when this operation will complete again.
    package let hasMore: Bool
}

/// How long to wait for a completion.
package enum RingWait: Hashable, Sendable {
    case no
    case forever
    case nanoseconds(UInt64)
}

/// An io_uring.
@safe
package struct Ring: ~Copyable {
    let ring: UnsafeMutablePointer<io_uring>
    package internal(set) var features: RingFeatures
    /// Registered stretches of memory, in ascending order, each of `bufferChunkBytes` but the last.
    var bufferBase: UInt = 0
    var bufferBytes = 0
    private var reaped: [RingCompletion] = []
    private var reapedStart = 0
    private let batch: UnsafeMutablePointer<memkv_completion>

    private static let batchLimit = 64
    /// Tries to push a submission into a kernel short of memory, before giving up.
    private static let submitAttempts = 10_000

    /// A ring for `entries` operations prepared at once and `inFlight` submitted ones. To be made
    /// by the thread that will use it.
    package init(entries: UInt32, inFlight: UInt32) throws(RingError) {
        unsafe ring = .allocate(capacity: 1)
        unsafe ring.initialize(to: io_uring())
        unsafe batch = .allocate(capacity: Self.batchLimit)
        features = RingFeatures()
        reaped.reserveCapacity(Int(inFlight))
        let result = unsafe Self.setUp(
            ring, entries: entries, inFlight: inFlight, features: &features)
        if result < 0 {
            unsafe ring.deallocate()
            unsafe batch.deallocate()
            throw .unavailable(SystemError(result))
        }
        // Saves a look-up of the ring's own file at every enter; without it everything works.
        _ = unsafe io_uring_register_ring_fd(ring)
    }

    deinit {
        unsafe io_uring_queue_exit(ring)
        unsafe ring.deallocate()
        unsafe batch.deallocate()
    }

    /// Tries the modes from the best down; a kernel refuses one it doesn't know with EINVAL.
    private static func setUp(
        _ ring: UnsafeMutablePointer<io_uring>, entries: UInt32, inFlight: UInt32,
        features: inout RingFeatures
    ) -> Int32 {
        let base = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP
        let cooperative = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG
        let modes: [UInt32] = [
            IORING_SETUP_SUBMIT_ALL | cooperative | IORING_SETUP_SINGLE_ISSUER
                | IORING_SETUP_DEFER_TASKRUN,
            IORING_SETUP_SUBMIT_ALL | cooperative | IORING_SETUP_SINGLE_ISSUER,
            IORING_SETUP_SUBMIT_ALL | cooperative,
            0,
        ]
        var result: Int32 = 0
        for mode in modes {
            var parameters = io_uring_params()
            parameters.flags = base | mode
            parameters.cq_entries = max(inFlight, entries)
            result = unsafe io_uring_queue_init_params(entries, ring, &parameters)
            if result == -EINVAL { continue }
            features.hasSingleIssuer = mode & IORING_SETUP_SINGLE_ISSUER != 0
            features.hasDeferredTaskRun = mode & IORING_SETUP_DEFER_TASKRUN != 0
            features.hasCooperativeTaskRun = mode & IORING_SETUP_COOP_TASKRUN != 0
            return result
        }
        return result
    }

    /// A place for the next submission. Empties a full queue into the kernel first.
    mutating func entry() -> UnsafeMutablePointer<io_uring_sqe> {
        for _ in 0..<Self.submitAttempts {
            if let entry = unsafe io_uring_get_sqe(ring) { return unsafe entry }
            check(unsafe io_uring_submit_and_get_events(ring))
            // A kernel whose completion queue is full takes nothing more until it is emptied.
            if unsafe io_uring_sq_space_left(ring) == 0 { reap() }
        }
        preconditionFailure("the kernel takes no submissions: it is out of memory")
    }

    /// Hands everything prepared to the kernel, lets it finish what is due, and waits as told.
    /// Returns early at a signal.
    package mutating func enter(_ wait: RingWait) {
        let wait = reapedStart < reaped.count ? .no : wait
        switch wait {
        case .no:
            let isIdle = unsafe io_uring_sq_ready(ring) == 0 && !memkv_ring_has_deferred_work(ring)
            if !isIdle { check(unsafe io_uring_submit_and_get_events(ring)) }
        case .forever:
            check(unsafe io_uring_submit_and_wait(ring, 1))
        case .nanoseconds(let nanoseconds):
            var timeout = __kernel_timespec(
                tv_sec: Int64(nanoseconds / 1_000_000_000),
                tv_nsec: Int64(nanoseconds % 1_000_000_000))
            var completion: UnsafeMutablePointer<io_uring_cqe>?
            check(unsafe io_uring_submit_and_wait_timeout(ring, &completion, 1, &timeout, nil))
        }
    }

    /// The next completion, or nil when the kernel has none ready.
    package mutating func nextCompletion() -> RingCompletion? {
        if reapedStart == reaped.count {
            reaped.removeAll(keepingCapacity: true)
            reapedStart = 0
            reap()
            if reaped.isEmpty { return nil }
        }
        defer { reapedStart += 1 }
        return reaped[reapedStart]
    }

    private mutating func reap() {
        while true {
            let count = unsafe memkv_ring_reap(ring, batch, UInt32(Self.batchLimit))
            for index in 0..<Int(count) {
                let completion = unsafe batch[index]
                reaped.append(
                    RingCompletion(
                        userData: completion.user_data, result: completion.result,
                        hasMore: completion.flags & IORING_CQE_F_MORE != 0))
            }
            if count < UInt32(Self.batchLimit) { return }
        }
    }

    /// Passes results that only mean "again later"; traps on the ones that mean a broken ring.
    private func check(_ result: Int32) {
        switch result {
        case 0...: return
        case -EINTR, -ETIME, -EAGAIN, -EBUSY: return
        case -EEXIST: preconditionFailure("a ring was used by a thread other than its maker")
        default: preconditionFailure("io_uring_enter failed: \(SystemError(result))")
        }
    }
}

#endif
