// RDMASettings: which RDMA devices the server uses. Whether they are there, only the start shows:
// a server without them serves over TCP.
//
// Refuses a device that is given twice, and both ways of giving devices together.

internal import Schema

/// The section `rdma`.
package struct RDMASettings: Hashable, Sendable {
    /// By their names, such as mlx5_0; at least one.
    package let devices: [String]
    /// Queue pairs of one shard at once.
    package let queuePairs: Int
    /// Leases of one session at once, and how long each lives at most.
    package let leasesPerSession: Int
    package let leaseMicroseconds: UInt64

    package static let standardQueuePairs = 32
    static let mostQueuePairs = 1024
    package static let standardLeases = 16
    static let mostLeases = 256
    package static let standardLeaseMicroseconds: UInt64 = 30_000_000
    static let leaseRange: ClosedRange<UInt64> = 1_000_000...3_600_000_000
    static let mostDevices = 8

    /// Nil when the file doesn't ask for RDMA.
    init?(_ document: ServerDocument) throws(ConfigurationError) {
        guard let section = document.rdma else { return nil }
        let list: [Setting<String>]
        switch (section.device, section.devices) {
        case (let device?, nil): list = [device]
        case (nil, let devices?): list = devices
        case (let device?, .some):
            throw device.refused("give one device, or a list in rdma.devices, and not both")
        case (nil, nil):
            throw ConfigurationError(
                origin: section.origin, key: "rdma.device",
                problem: "missing; name the RDMA device (rdma link shows them)")
        }
        var names: [String] = []
        for device in list {
            if names.contains(device.value) {
                throw device.refused("\(device.value) is listed twice")
            }
            names.append(device.value)
        }
        if let last = list.last, names.count > Self.mostDevices {
            throw last.refused("\(names.count) devices; \(Self.mostDevices) are the most")
        }
        devices = names
        queuePairs = section.queuePairs?.value ?? Self.standardQueuePairs
        leasesPerSession = section.leases?.value ?? Self.standardLeases
        leaseMicroseconds = section.leaseTime?.value ?? Self.standardLeaseMicroseconds
    }
}

/// The section as the file has it.
struct RDMADocument: Sendable {
    let origin: Origin
    let device: Setting<String>?
    let devices: [Setting<String>]?
    let queuePairs: Setting<Int>?
    let leases: Setting<Int>?
    let leaseTime: Setting<UInt64>?

    static let schema = SectionSchema(
        keys: ["device", "devices", "queue_pairs", "leases_per_session", "lease_time"],
        notBuilt: ["soft_roce"])

    init(_ section: DocumentSection) throws(ConfigurationError) {
        origin = section.origin
        device = try section.text("device")
        devices = try section.texts("devices")
        queuePairs = try section.number("queue_pairs", in: 1...RDMASettings.mostQueuePairs)
        leases = try section.number("leases_per_session", in: 1...RDMASettings.mostLeases)
        leaseTime = try section.microseconds("lease_time", in: RDMASettings.leaseRange)
    }
}
