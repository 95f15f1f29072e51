// An errno with what was tried, so that messages say both.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import Glibc

/// What libibverbs, librdmacm or the kernel has refused.
package struct VerbsError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, as the middle of a sentence: "to register memory".
    package let attempt: String
    /// A positive errno.
    package let code: Int32

    /// From an errno or from a negative result.
    package init(_ attempt: String, _ result: Int32) {
        self.attempt = attempt
        code = result < 0 ? -result : result
    }

    /// From the thread's errno, after a call that answered NULL.
    static func last(_ attempt: String) -> VerbsError { VerbsError(attempt, errno) }

    /// The limit of locked memory is too low for what was to be registered.
    package var isLockedMemory: Bool { code == ENOMEM }

    package var description: String {
        unsafe "\(attempt): " + String(cString: strerror(code)) + " (errno \(code))"
    }
}

#endif
