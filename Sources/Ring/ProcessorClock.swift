// ProcessorClock: the processor time of this process, for measurements. One of the files that may
// say `unsafe`.

#if IOUring

private import Glibc

package enum ProcessorClock {
    /// Nanoseconds that all of this process's threads have run, ended ones and the kernel's part
    /// included.
    package static var processNanoseconds: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    /// The same for the calling thread alone.
    package static var threadNanoseconds: UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        let result = unsafe clock_gettime(clock, &time)
        precondition(result == 0, "a system without clocks of processor time")
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

#endif
