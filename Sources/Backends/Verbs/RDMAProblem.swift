// RDMAProblem: why a device of the configuration isn't used, each with what to do.

#if Verbs

package import Engine

/// Why a configured device isn't used.
package enum RDMAProblem: Error, Hashable, Sendable, CustomStringConvertible {
    case noRDMA
    case noSuchDevice(String, existing: [String])
    /// The daemon's user may not open it.
    case notUsable(device: String)
    case noSuchInterface(String, existing: [String])
    case noDevice(interface: String, existing: [String])
    /// Of several devices none will do.
    case noneUsable([String])
    case noAddress(device: String, interface: String?)
    /// Nil for no limit.
    case lockedMemory(device: String, bytes: ByteCount, limitBytes: UInt64?)
    case portDown(device: String)
    case removed(device: String)
    case failed(device: String, String)
    /// Of a Soft-RoCE link: a sentence that says what to do.
    case softRoCE(String)

    package var description: String {
        switch self {
        case .noRDMA:
            "this machine has no RDMA device: its kernel has none, or their driver isn't loaded "
                + "(rdma link shows them)"
        case .noSuchDevice(let name, let existing):
            "no RDMA device \(name); there are: \(existing.joined(separator: ", "))"
        case .notUsable(let device):
            "RDMA device \(device) can't be opened: /dev/infiniband must be readable and "
                + "writable for memkvd's user, and the module rdma_ucm loaded"
        case .noSuchInterface(let name, let existing):
            "no network interface \(name); there are: \(existing.joined(separator: ", "))"
        case .noDevice(let interface, let existing):
            "no RDMA device is on network interface \(interface); there are: "
                + "\(existing.joined(separator: ", ")). rdma.soft_roce makes one"
        case .noneUsable(let names):
            "no RDMA device has a RoCE v2 address: \(names.joined(separator: ", ")). Give the "
                + "network interface of one an IP address"
        case .noAddress(let device, nil):
            "RDMA device \(device) has no RoCE v2 address: give its network interface an IP "
                + "address. InfiniBand and iWARP aren't supported"
        case .noAddress(let device, let interface?):
            "RDMA device \(device) has no RoCE v2 address of \(interface): give that interface an "
                + "IP address (ip address add), and switch it on"
        case .lockedMemory(let device, let bytes, let limit):
            "RDMA device \(device) can't have the \(bytes.rawValue >> 20) MiB of memory: "
                + Self.sentence(limitBytes: limit)
        case .portDown(let device):
            "the port of RDMA device \(device) isn't active: look at its network interface and "
                + "its cable"
        case .removed(let device):
            "RDMA device \(device) is gone; it is used again when it is back"
        case .failed(let device, let reason): "RDMA device \(device): \(reason)"
        case .softRoCE(let sentence): sentence
        }
    }

    /// There is no such device.
    var isAbsence: Bool {
        switch self {
        case .noRDMA, .noSuchDevice, .noDevice, .noneUsable: true
        default: false
        }
    }

    private static func sentence(limitBytes: UInt64?) -> String {
        guard let limitBytes else { return "there isn't as much; lower memory.max_size" }
        return "raise the limit of locked memory, which is \(limitBytes >> 10) KiB (ulimit -l, "
            + "LimitMEMLOCK=infinity), or lower memory.max_size"
    }
}

#endif
