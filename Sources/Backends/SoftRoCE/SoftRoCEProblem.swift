// SoftRoCEProblem: why there is no Soft-RoCE link on an interface, each with what to do.

#if Verbs

internal import Glibc
package import Verbs

package enum SoftRoCEProblem: Error, Hashable, Sendable, CustomStringConvertible {
    case noSuchInterface(String, existing: [String])
    /// A VLAN can't carry a link of its own.
    case vlan(String)
    /// The kernel has no rxe, or no RDMA at all.
    case noModule
    case noPermission(interface: String)
    /// Somebody else's device has the name.
    case nameTaken(String)
    case failed(String)

    /// What the kernel said when a link called `link` was to be made on an interface.
    package init(_ error: VerbsError, link: String, interface: String, isVLAN: Bool) {
        switch error.code {
        case EPROTONOSUPPORT, EAFNOSUPPORT, EINVAL: self = .noModule
        case EPERM: self = isVLAN ? .vlan(interface) : .noPermission(interface: interface)
        case ENODEV: self = .noSuchInterface(interface, existing: NetworkInterface.names)
        case ENFILE: self = .nameTaken(link)
        default: self = .failed(error.description)
        }
    }

    package var description: String {
        switch self {
        case .noSuchInterface(let name, let existing):
            "Soft-RoCE: no network interface \(name); there are: "
                + existing.joined(separator: ", ")
        case .vlan(let name):
            "Soft-RoCE: \(name) is a VLAN, which can have no link of its own: name the interface "
                + "under it, and the link has the VLAN's addresses too"
        case .noModule:
            "Soft-RoCE: the kernel has no rxe: load its module (modprobe rdma_rxe). Kernels made "
                + "for containers and clouds may lack it (Debian's linux-image-cloud-amd64 does; "
                + "linux-image-amd64 has it)"
        case .noPermission(let interface):
            "Soft-RoCE: making a link needs CAP_NET_ADMIN: run memkvd as root or give it that "
                + "(AmbientCapabilities=CAP_NET_ADMIN), or make the link beforehand: "
                + "rdma link add rxe0 type rxe netdev \(interface)"
        case .nameTaken(let name):
            "Soft-RoCE: there is an RDMA device called \(name), which is just being removed or on "
                + "another interface: remove it (rdma link delete \(name))"
        case .failed(let reason): "Soft-RoCE: \(reason)"
        }
    }
}

#endif
