// RDMADeviceEnd: one device as the daemon uses it: its protection domain, the arena registered
// there, a completion queue for each shard, and the addresses where it listens.
//
// Always holds: the arena is registered without remote access; nothing of it ends before the
// process. Refuses a device that isn't there, has no address, or can't have the arena registered,
// each with what to do.
//
// One of the files that may say `unsafe`.

#if Verbs

package import Engine
internal import Synchronization
internal import Verbs

/// One device in use. Immutable but for whether its port is up.
final class RDMADeviceEnd: Sendable {
    let device: RDMADevice
    let attributes: RDMAAttributes
    let domain: ProtectionDomain
    let memory: RegisteredMemory
    /// One for each shard.
    let queues: [CompletionQueue]
    let addresses: [RDMAAddress]
    private let isUp: Atomic<Bool>
    private let isPresent = Atomic<Bool>(true)

    init(
        _ device: RDMADevice, arena: Arena, completions: Int, shardCount: Int
    ) throws(RDMAProblem) {
        self.device = device
        do throws(VerbsError) {
            attributes = try device.attributes()
            addresses = Self.reachable(try device.addresses())
        } catch {
            throw .failed(device: device.name, error.description)
        }
        if addresses.isEmpty { throw .noAddress(device: device.name) }
        isUp = Atomic(attributes.isPortActive)
        guard completions <= attributes.completions else {
            throw .failed(
                device: device.name,
                "it has completion queues of \(attributes.completions) entries, and "
                    + "\(completions) are needed: lower rdma.queue_pairs")
        }
        let whole = ArenaRange(start: ArenaOffset(0), length: arena.length)
        do throws(VerbsError) {
            domain = try ProtectionDomain(device)
            memory = unsafe try RegisteredMemory(arena.bytes(whole), in: domain, for: .none)
            var queues: [CompletionQueue] = []
            for _ in 0..<shardCount {
                queues.append(try CompletionQueue(device, capacity: completions))
            }
            self.queues = queues
        } catch {
            throw error.isLockedMemory
                ? .lockedMemory(device: device.name, bytes: arena.length)
                : .failed(device: device.name, error.description)
        }
    }

    /// All addresses but those of one link, or these where there are no others.
    private static func reachable(_ addresses: [RDMAAddress]) -> [RDMAAddress] {
        let wide = addresses.filter { !$0.isLinkLocal }
        return Array((wide.isEmpty ? addresses : wide).prefix(16))
    }

    var isThere: Bool { isPresent.load(ordering: .relaxed) }

    /// Whether connections can be made, as of the last look.
    var isUsable: Bool {
        isThere && isUp.load(ordering: .relaxed)
    }

    /// Looks at the port anew; true when that has changed anything.
    func look() -> Bool {
        let isActive = (try? device.attributes())?.isPortActive ?? false
        return isUp.exchange(isActive, ordering: .relaxed) != isActive
    }

    /// It was taken out.
    func remove() { isPresent.store(false, ordering: .relaxed) }
}

/// Why a configured device isn't used.
package enum RDMAProblem: Error, Hashable, Sendable, CustomStringConvertible {
    case noRDMA
    case noSuchDevice(String, existing: [String])
    case noAddress(device: String)
    case lockedMemory(device: String, bytes: ByteCount)
    case portDown(device: String)
    case removed(device: String)
    case failed(device: String, String)

    package var description: String {
        switch self {
        case .noRDMA:
            "this machine has no RDMA device: its kernel has none, or their driver isn't loaded "
                + "(rdma link shows them)"
        case .noSuchDevice(let name, let existing):
            "no RDMA device \(name); there are: \(existing.joined(separator: ", "))"
        case .noAddress(let device):
            "RDMA device \(device) has no RoCE v2 address: give its network interface an IP "
                + "address. InfiniBand and iWARP aren't supported"
        case .lockedMemory(let device, let bytes):
            "RDMA device \(device) can't have the \(bytes.rawValue >> 20) MiB of memory: raise the "
                + "limit of locked memory (ulimit -l, LimitMEMLOCK=infinity) or lower "
                + "memory.max_size"
        case .portDown(let device):
            "the port of RDMA device \(device) isn't active: look at its network interface and "
                + "its cable"
        case .removed(let device):
            "RDMA device \(device) is gone; restart memkvd when it is back"
        case .failed(let device, let reason): "RDMA device \(device): \(reason)"
        }
    }
}

#endif
