// What this kernel gives a ring, and what it refuses, in words an operator can act on.

#if IOUring

/// A ring's modes and registrations, fixed once it is set up.
package struct RingFeatures: Hashable, Sendable {
    /// One thread submits; the kernel skips locks.
    package var hasSingleIssuer = false
    /// Completions are worked off when the ring is entered, not by interrupting the thread.
    package var hasDeferredTaskRun = false
    /// No inter-processor interrupts for completions.
    package var hasCooperativeTaskRun = false
    /// The arena's pages are registered: no pinning per operation. Nil while nobody asked for it.
    package var hasRegisteredBuffers: Bool?
    /// Why the arena could not be registered.
    package var bufferRefusal: SystemError?

    package init() {}

    /// One sentence: everything is there, or what is missing and what it costs.
    package var description: String {
        var missing: [String] = []
        if !hasDeferredTaskRun { missing.append("deferred task run (Linux 6.1)") }
        if !hasSingleIssuer { missing.append("single issuer (Linux 6.0)") }
        if !hasCooperativeTaskRun { missing.append("cooperative task run (Linux 5.19)") }
        if hasRegisteredBuffers == false {
            let reason = bufferRefusal.map { "\($0)" } ?? "unknown"
            missing.append(
                "registered buffers (\(reason); raise the locked-memory limit, `ulimit -l`, "
                    + "to the memory pool's size)")
        }
        if missing.isEmpty {
            return "io_uring with single issuer, deferred task run"
                + (hasRegisteredBuffers == true ? ", registered buffers" : "")
        }
        return "io_uring works, but slower than it could; missing: "
            + missing.joined(separator: ", ")
    }
}

#endif
