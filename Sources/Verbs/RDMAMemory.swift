// Protection domains and registered memory: what a device may read and write, and who else.
//
// Always holds: registered memory isn't unmapped before its registration has ended, which is its
// maker's duty; a domain outlives what was made in it. Registering pins pages, so it may block and
// may meet the limit of locked memory.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import CVerbs

/// What belongs together: queue pairs reach memory of their own domain only.
@safe
package final class ProtectionDomain: @unchecked Sendable {
    // Sendable because it is immutable, and libibverbs may be called by several threads at once.
    package let device: RDMADevice
    let domain: OpaquePointer

    package init(_ device: RDMADevice) throws(VerbsError) {
        guard let domain = unsafe memkv_rdma_make_domain(device.context) else {
            throw .last("to make a protection domain on device \(device.name)")
        }
        self.device = device
        unsafe self.domain = domain
    }

    deinit { unsafe memkv_rdma_free_domain(domain) }
}

/// What the other end of a connection may do with memory.
package enum RemoteAccess: Hashable, Sendable {
    case none, read, write, readAndWrite

    var flags: UInt32 {
        let local = UInt32(MEMKV_RDMA_LOCAL_WRITE)
        let read = UInt32(MEMKV_RDMA_REMOTE_READ)
        let write = UInt32(MEMKV_RDMA_REMOTE_WRITE)
        return switch self {
        case .none: local
        case .read: local | read
        case .write: local | write
        case .readAndWrite: local | read | write
        }
    }
}

/// Memory that a device may use. Ends its registration when it ends itself, which may block.
@safe
package final class RegisteredMemory: @unchecked Sendable {
    // Sendable because it is immutable.
    private let registration: OpaquePointer
    private let domain: ProtectionDomain
    /// Names the memory in work of this end.
    package let localKey: UInt32
    /// Names it to the other end.
    package let remoteKey: UInt32

    /// Registers `memory`, which stays mapped until this has ended.
    @unsafe
    package init(
        _ memory: UnsafeMutableRawBufferPointer, in domain: ProtectionDomain,
        for access: RemoteAccess
    ) throws(VerbsError) {
        guard
            let registration = unsafe memkv_rdma_register(
                domain.domain, memory.baseAddress, memory.count, access.flags)
        else {
            throw .last(
                "to register \(memory.count >> 20) MiB of memory with device "
                    + domain.device.name)
        }
        unsafe self.registration = registration
        self.domain = domain
        localKey = unsafe memkv_rdma_local_key(registration)
        remoteKey = unsafe memkv_rdma_remote_key(registration)
    }

    deinit { unsafe memkv_rdma_deregister(registration) }
}

#endif
