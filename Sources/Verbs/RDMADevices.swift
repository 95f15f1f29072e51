// The RDMA devices of this machine, opened by librdmacm, so that connections and memory of one
// device share one context.
//
// Always holds: a device stays open as long as anything refers to it; asking how it is asks the
// kernel anew.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import CVerbs

/// What a device can do, and how its port is now.
package struct RDMAAttributes: Hashable, Sendable {
    package let queuePairs: Int
    /// Of one send or receive queue.
    package let workRequests: Int
    /// Of one completion queue.
    package let completions: Int
    /// RDMA reads of one queue pair that may be on their way at once: begun here, or there.
    package let readsInFlight: Int
    package let readsAccepted: Int
    /// Payload of one packet.
    package let packetBytes: Int
    package let isPortActive: Bool
    package let isEthernet: Bool
}

/// A list of devices that librdmacm has opened, and their owner.
@safe
private final class OpenedDevices: @unchecked Sendable {
    // Sendable because it is immutable.
    let list: UnsafeMutablePointer<OpaquePointer?>
    let count: Int

    init(_ list: UnsafeMutablePointer<OpaquePointer?>, count: Int) {
        unsafe self.list = list
        self.count = count
    }

    deinit { unsafe memkv_rdma_free_devices(list) }
}

/// An RDMA device. Any thread may use it.
@safe
package final class RDMADevice: Equatable, @unchecked Sendable {
    // Sendable because it is immutable, and libibverbs may be called by several threads at once.
    package let name: String
    let context: OpaquePointer
    private let owner: OpenedDevices

    private init(_ context: OpaquePointer, of owner: OpenedDevices) {
        unsafe self.context = context
        self.owner = owner
        name = unsafe String(cString: memkv_rdma_device_name(context))
    }

    /// Two of one opened device.
    package static func == (left: RDMADevice, right: RDMADevice) -> Bool {
        unsafe left.context == right.context
    }

    /// All devices that connections can be made with; empty where the kernel has no RDMA.
    package static func all() -> [RDMADevice] {
        var count: Int32 = 0
        guard let list = unsafe memkv_rdma_devices(&count) else { return [] }
        let owner = unsafe OpenedDevices(list, count: Int(count))
        return (0..<owner.count).compactMap { index in
            unsafe owner.list[index].map { unsafe RDMADevice($0, of: owner) }
        }
    }

    /// The names of all RDMA devices, those too that connections can't be made with.
    package static var names: [String] {
        let limit = 64
        let bytes = Int(MEMKV_RDMA_NAME_BYTES)
        var memory = [CChar](repeating: 0, count: limit * bytes)
        let count = unsafe Int(memkv_rdma_device_names(&memory, Int32(limit)))
        return (0..<count).map { index in
            let text = memory[(index * bytes)..<((index + 1) * bytes)].prefix { $0 != 0 }
            return String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    package func attributes() throws(VerbsError) -> RDMAAttributes {
        var found = memkv_rdma_attributes()
        let result = unsafe memkv_rdma_query(context, &found)
        guard result == 0 else { throw VerbsError("to ask device \(name) what it can do", result) }
        return RDMAAttributes(
            queuePairs: Int(found.queue_pairs), workRequests: Int(found.work_requests),
            completions: Int(found.completions), readsInFlight: Int(found.reads_in_flight),
            readsAccepted: Int(found.reads_accepted), packetBytes: Int(found.packet_bytes),
            isPortActive: found.is_port_active, isEthernet: found.is_ethernet)
    }

    /// False as soon as the kernel takes it out.
    package var isThere: Bool { unsafe memkv_rdma_is_there(context) }

    /// Lets go of a device that is to be taken out: some drivers wait for that. Everything made on
    /// it has ended, and nothing is made on it any more.
    package func letGo() { _ = unsafe memkv_rdma_let_go(context) }

    /// The addresses of its RoCE v2 GIDs; with `interface`, only that network interface's. Not
    /// those of one link only: every device has one, with or without an IP address, and it names
    /// no link, so that nobody can listen on it.
    package func addresses(
        on interface: NetworkInterface? = nil
    ) throws(VerbsError) -> [RDMAAddress] {
        let limit = 64
        let bytes = RDMAAddress.byteCount
        var memory = [UInt8](repeating: 0, count: limit * bytes)
        let count = unsafe memkv_rdma_addresses(
            context, interface?.index ?? 0, &memory, Int32(limit))
        guard count >= 0 else { throw VerbsError("to read the GIDs of device \(name)", count) }
        return (0..<Int(count)).map { index in
            RDMAAddress(bytes: memory[(index * bytes)..<((index + 1) * bytes)])
        }.filter { !$0.isLinkLocal }
    }
}

#endif
