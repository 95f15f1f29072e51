// ExposedMemory: memory that the other end of a queue pair may read or write for a while, and whose
// registration's end is told rather than hoped for.
//
// Always holds: what `end` has returned normally for, nobody can reach any more by this
// registration. A registration whose end was refused stays, for another try; the last try is this
// value's own end, when its domain's queue pairs must be gone.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import CVerbs

/// A registration with remote access. Confined to the thread that made it.
@safe
package final class ExposedMemory {
    private var registration: OpaquePointer?
    private let domain: ProtectionDomain
    /// Where it begins, and its length.
    package let address: UInt64
    package let byteCount: Int
    /// Names it to the other end.
    package let remoteKey: UInt32

    /// Exposes `memory`, exactly, which stays mapped until this has ended. May block.
    @unsafe
    package init(
        _ memory: UnsafeMutableRawBufferPointer, in domain: ProtectionDomain,
        for access: RemoteAccess
    ) throws(VerbsError) {
        guard
            let registration = unsafe memkv_rdma_register(
                domain.domain, memory.baseAddress, memory.count, access.flags)
        else {
            throw .last("to register leased memory with device \(domain.device.name)")
        }
        unsafe self.registration = registration
        self.domain = domain
        address = UInt64(UInt(bitPattern: memory.baseAddress))
        byteCount = memory.count
        remoteKey = unsafe memkv_rdma_remote_key(registration)
    }

    deinit { try? end() }

    /// Takes the access away; when it returns, no write of the other end's is under way any more.
    /// May block.
    package func end() throws(VerbsError) {
        guard let registration = unsafe registration else { return }
        let result = unsafe memkv_rdma_deregister(registration)
        guard result == 0 else { throw VerbsError("to take leased memory back", result) }
        unsafe self.registration = nil
    }
}

#endif
