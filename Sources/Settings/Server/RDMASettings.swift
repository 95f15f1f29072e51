// RDMASettings: which RDMA devices the server uses. Whether they are there, only the start shows:
// a server without them serves over TCP.
//
// Refuses a device that is given twice, and several ways of giving devices together.

internal import Schema

/// One RDMA device, as the configuration chooses it.
package enum RDMADeviceChoice: Hashable, Sendable, CustomStringConvertible {
    /// By its name, such as mlx5_0.
    case named(String)
    /// The one on a network interface.
    case interface(String)
    /// The one on a network interface, made there by the kernel's rxe if need be.
    case softRoCE(String)
    /// One that is there and has an address.
    case automatic

    package var description: String {
        switch self {
        case .named(let name): name
        case .interface(let name): "the device on \(name)"
        case .softRoCE(let name): "Soft-RoCE on \(name)"
        case .automatic: "auto"
        }
    }
}

/// The section `rdma`.
package struct RDMASettings: Hashable, Sendable {
    /// At least one.
    package let devices: [RDMADeviceChoice]
    /// Queue pairs of one shard at once.
    package let queuePairs: Int
    /// Leases of one session at once, and how long each lives at most.
    package let leasesPerSession: Int
    package let leaseMicroseconds: UInt64

    package static let standardQueuePairs = 32
    /// What `rdma.device` says for any device.
    package static let automatic = "auto"
    static let mostQueuePairs = 1024
    package static let standardLeases = 16
    static let mostLeases = 256
    package static let standardLeaseMicroseconds: UInt64 = 30_000_000
    static let leaseRange: ClosedRange<UInt64> = 1_000_000...3_600_000_000
    static let mostDevices = 8

    /// Nil when the file doesn't ask for RDMA.
    init?(_ document: ServerDocument) throws(ConfigurationError) {
        guard let section = document.rdma else { return nil }
        queuePairs = section.queuePairs?.value ?? Self.standardQueuePairs
        leasesPerSession = section.leases?.value ?? Self.standardLeases
        leaseMicroseconds = section.leaseTime?.value ?? Self.standardLeaseMicroseconds
        let ways = [section.device, section.devices?.first, section.interface, section.softRoCE]
        let given = ways.compactMap { $0 }
        guard let first = given.first else {
            throw ConfigurationError(
                origin: section.origin, key: "rdma.device",
                problem: "missing; name the RDMA device (rdma link shows them), or give "
                    + "rdma.interface or rdma.soft_roce a network interface")
        }
        if given.count > 1 {
            throw first.refused(
                "give one device, a list in rdma.devices, rdma.interface or rdma.soft_roce, and "
                    + "not several of them")
        }
        if let interface = section.interface {
            devices = [.interface(interface.value)]
        } else if let interface = section.softRoCE {
            devices = [.softRoCE(interface.value)]
        } else if let device = section.device {
            devices = [device.value == Self.automatic ? .automatic : .named(device.value)]
        } else {
            devices = try Self.named(section.devices ?? []).map { .named($0) }
        }
    }

    private static func named(
        _ list: [Setting<String>]
    ) throws(ConfigurationError) -> [String] {
        var names: [String] = []
        for device in list {
            if names.contains(device.value) {
                throw device.refused("\(device.value) is listed twice")
            }
            names.append(device.value)
        }
        if let last = list.last, names.count > mostDevices {
            throw last.refused("\(names.count) devices; \(mostDevices) are the most")
        }
        return names
    }
}

/// The section as the file has it.
struct RDMADocument: Sendable {
    let origin: Origin
    let device: Setting<String>?
    let devices: [Setting<String>]?
    let interface: Setting<String>?
    let softRoCE: Setting<String>?
    let queuePairs: Setting<Int>?
    let leases: Setting<Int>?
    let leaseTime: Setting<UInt64>?

    static let schema = SectionSchema(
        keys: [
            "device", "devices", "interface", "soft_roce", "queue_pairs", "leases_per_session",
            "lease_time",
        ],
        notBuilt: ["num_worker_threads"])

    init(_ section: DocumentSection) throws(ConfigurationError) {
        origin = section.origin
        device = try section.text("device")
        devices = try section.texts("devices")
        interface = try section.text("interface")
        softRoCE = try section.text("soft_roce")
        queuePairs = try section.number("queue_pairs", in: 1...RDMASettings.mostQueuePairs)
        leases = try section.number("leases_per_session", in: 1...RDMASettings.mostLeases)
        leaseTime = try section.microseconds("lease_time", in: RDMASettings.leaseRange)
    }
}
