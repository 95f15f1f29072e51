// ProcessorClock: the processor time of a process, for whoever measures what a client costs, or its
// server. One of the files that may say `unsafe`.

private import Glibc

package enum ProcessorClock {
    /// Nanoseconds that all threads of this process have run, ended ones and the kernel's part
    /// included.
    package static var ownNanoseconds: UInt64 {
        guard let time = read(CLOCK_PROCESS_CPUTIME_ID) else {
            preconditionFailure("a system without a clock of processor time")
        }
        return time
    }

    /// The same for the calling thread alone.
    package static var threadNanoseconds: UInt64 {
        guard let time = read(CLOCK_THREAD_CPUTIME_ID) else {
            preconditionFailure("a system without a clock of threads' processor time")
        }
        return time
    }

    /// The same for another process of this machine; nil when there is none of that id.
    package static func nanoseconds(ofProcess process: Int32) -> UInt64? {
        var clock = clockid_t()
        guard unsafe clock_getcpuclockid(process, &clock) == 0 else { return nil }
        return read(clock)
    }

    private static func read(_ clock: clockid_t) -> UInt64? {
        var time = timespec()
        guard unsafe clock_gettime(clock, &time) == 0 else { return nil }
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
