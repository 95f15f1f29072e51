// RDMALinks: the kernel's RDMA devices as its RDMA core lists them, made and removed by it.
//
// Source: rdma/rdma_netlink.h, RDMA_NL_NLDEV.

#if Verbs

/// A device as the RDMA core knows it.
package struct RDMALink: Hashable, Sendable {
    /// Never used again while the system runs.
    package let index: UInt32
    /// May be changed by udev's rules, at any time.
    package let name: String
}

package enum RDMALinks {
    /// The core's client and its commands.
    private static let core: UInt16 = 5
    private enum Command: UInt16 {
        case get = 1
        case newLink = 3
        case deleteLink = 4
        case resources = 9
    }
    private enum Attribute {
        static let deviceIndex: UInt16 = 1
        static let deviceName: UInt16 = 2
        static let resources: UInt16 = 15
        static let resource: UInt16 = 16
        static let resourceName: UInt16 = 17
        static let resourceCount: UInt16 = 18
        static let interfaceName: UInt16 = 51
        static let linkType: UInt16 = 65
    }

    private static func type(_ command: Command) -> UInt16 { core << 10 | command.rawValue }

    package static func listRequest() -> NetlinkRequest {
        NetlinkRequest(type: type(.get), isDump: true)
    }

    package static func makeRequest(
        _ name: String, type linkType: String, on interface: String
    ) -> NetlinkRequest {
        NetlinkRequest(
            type: type(.newLink),
            attributes: [
                (Attribute.deviceName, .text(name)), (Attribute.linkType, .text(linkType)),
                (Attribute.interfaceName, .text(interface)),
            ])
    }

    package static func removeRequest(_ index: UInt32) -> NetlinkRequest {
        NetlinkRequest(
            type: type(.deleteLink), attributes: [(Attribute.deviceIndex, .number(index))])
    }

    private static func resourcesRequest(_ index: UInt32) -> NetlinkRequest {
        NetlinkRequest(
            type: type(.resources), attributes: [(Attribute.deviceIndex, .number(index))])
    }

    /// All devices.
    package static func all() throws(VerbsError) -> [RDMALink] {
        var socket = try NetlinkSocket()
        return try socket.ask(listRequest(), "to list the RDMA devices").compactMap {
            guard let index = $0.number(Attribute.deviceIndex),
                let name = $0.text(Attribute.deviceName)
            else { return nil }
            return RDMALink(index: index, name: name)
        }
    }

    /// Makes a device called `name` of a software driver, such as `rxe`, on a network interface.
    /// The kernel loads the driver if it can.
    package static func make(
        _ name: String, type: String, on interface: String
    ) throws(VerbsError) {
        var socket = try NetlinkSocket()
        _ = try socket.ask(
            makeRequest(name, type: type, on: interface),
            "to make an \(type) link on \(interface)")
    }

    /// Removes a software driver's device. Waits until the last process has closed it.
    package static func remove(_ link: RDMALink) throws(VerbsError) {
        var socket = try NetlinkSocket()
        _ = try socket.ask(removeRequest(link.index), "to remove the RDMA device \(link.name)")
    }

    /// How many times the device is open, this process included.
    package static func openCount(_ link: RDMALink) throws(VerbsError) -> UInt32 {
        var socket = try NetlinkSocket()
        let answers = try socket.ask(
            resourcesRequest(link.index), "to ask who uses the RDMA device \(link.name)")
        let contexts = answers.flatMap { $0.nested(Attribute.resources) }
            .flatMap { $0.nested(Attribute.resource) }
            .first { $0.text(Attribute.resourceName) == "ctx" }
        return contexts?.number(Attribute.resourceCount) ?? 0
    }

    /// The network interface that a device of the driver rxe is on; nil for all others.
    package static func rxeInterface(of link: RDMALink) -> String? {
        SystemFiles.text(of: "/sys/class/infiniband/\(link.name)/parent")
    }
}

#endif
