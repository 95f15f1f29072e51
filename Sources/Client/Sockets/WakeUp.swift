// WakeUp: ends another thread's wait. A pair of connected sockets: a byte into one makes the other
// readable.
//
// Always holds: both descriptors are closed once, when the last reference goes. A wake-up before
// the wait isn't lost, and many are one. One of the files that may say `unsafe`.

private import Glibc

final class WakeUp: Sendable {
    /// To be waited for with the others.
    let descriptor: Int32
    private let other: Int32

    init() {
        var pair: (Int32, Int32) = (-1, -1)
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let code = unsafe withUnsafeMutableBytes(of: &pair) { bytes in
            unsafe socketpair(
                AF_UNIX, type, 0, bytes.baseAddress!.assumingMemoryBound(to: Int32.self))
        }
        precondition(code == 0, "no descriptors are left for a socket pair")
        (descriptor, other) = pair
    }

    deinit {
        close(descriptor)
        close(other)
    }

    /// From any thread. A full buffer is a wake-up that is due already.
    func wake() {
        var byte: UInt8 = 1
        unsafe send(other, &byte, 1, Int32(MSG_NOSIGNAL))
    }

    /// Forgets the wake-ups so far.
    func drain() {
        var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        let size = MemoryLayout.size(ofValue: bytes)
        while unsafe recv(descriptor, &bytes, size, 0) == size {}
    }
}
