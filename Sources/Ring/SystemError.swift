// An errno with its name, so that messages say both what failed and why.

#if IOUring

internal import Glibc

/// A positive errno, as the kernel gave it.
package struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    package let code: Int32

    /// From an errno or from a kernel-style negative result.
    package init(_ result: Int32) { code = result < 0 ? -result : result }

    package var description: String {
        unsafe String(cString: strerror(code)) + " (errno \(code))"
    }
}

/// Why a ring can't be had.
package enum RingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kernel, a sysctl or a seccomp filter refuses io_uring altogether.
    case unavailable(SystemError)
    case noFileTable(SystemError)
    case noWakeDescriptor(SystemError)

    package var description: String {
        switch self {
        case .unavailable(let error):
            "io_uring is not available: \(error). It needs Linux 6.8 or newer, "
                + "kernel.io_uring_disabled=0, and a container profile that allows io_uring_setup"
        case .noFileTable(let error):
            "the kernel refused a table of registered files: \(error)"
        case .noWakeDescriptor(let error):
            "no eventfd to wake a shard with: \(error). Raise the limit of open files (ulimit -n)"
        }
    }
}

#endif
