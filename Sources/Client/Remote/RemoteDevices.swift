// RemoteDevices: this process's RDMA devices, each with one protection domain for all its clients,
// and the registrations of memory in it.
//
// Always holds: memory that belongs to an OwnedBytes is registered with a device at its first use
// and until it goes, so that buffers used again and again are pinned once; other memory is
// registered for one request. Which devices there are is asked anew at every attempt. Refuses a
// name that no device has, and names those that there are.
//
// One of the files that may say `unsafe`: it registers the client's memory.

#if Verbs

internal import Synchronization
internal import Verbs
internal import Wire

/// A device and what this process has made on it.
final class RemoteDevice: Sendable {
    let device: RDMADevice
    let domain: ProtectionDomain
    let attributes: RDMAAttributes
    let addresses: [RDMAAddress]

    init(_ device: RDMADevice) throws(VerbsError) {
        self.device = device
        domain = try ProtectionDomain(device)
        attributes = try device.attributes()
        addresses = try device.addresses()
    }

    /// Its address of `target`'s family, where it has one.
    func source(for target: RDMAAddress) -> RDMAAddress? {
        let wantsIPv4 = DeviceAddress(words: target.words).isIPv4
        return addresses.first { DeviceAddress(words: $0.words).isIPv4 == wantsIPv4 }
    }

    /// Lets the device, and servers behind it, reach `memory`.
    func register(
        _ memory: ValueMemory
    ) throws(VerbsError) -> (segment: RemoteSegment, registration: RegisteredMemory) {
        let bytes: UnsafeMutableRawBufferPointer
        let owner: OwnedBytes?
        let access: RemoteAccess
        switch memory {
        case .source(let source):
            unsafe bytes = UnsafeMutableRawBufferPointer(mutating: source.buffer)
            owner = source.owner
            access = .read
        case .destination(let destination):
            unsafe bytes = destination.buffer
            owner = destination.owner
            access = .readAndWrite
        }
        // No segment is empty, so a place of no bytes is one byte of nobody's.
        guard bytes.count > 0 else { return try register(.destination(Self.nowhere.destination)) }
        let registration =
            if let owner {
                try owner.companion(of: domain) { () throws(VerbsError) in
                    unsafe try RegisteredMemory(
                        owner.destination.buffer, in: domain, for: .readAndWrite)
                }
            } else {
                unsafe try RegisteredMemory(bytes, in: domain, for: access)
            }
        let address = UInt64(UInt(bitPattern: bytes.baseAddress))
        let segment = RemoteSegment(
            address: address, remoteKey: registration.remoteKey,
            lengthBytes: UInt32(clamping: bytes.count))
        return (segment, registration)
    }

    private static let nowhere = OwnedBytes(count: 1)
}

enum RemoteDevices {
    /// Devices in use, by name.
    private static let inUse = Mutex<[String: RemoteDevice]>([:])

    /// The devices that `names` names, all when it names none; each with a port that is up.
    static func find(_ names: [String]) throws(ConnectError) -> [RemoteDevice] {
        let all = RDMADevice.all()
        guard !all.isEmpty else {
            let others = RDMADevice.names
            throw .noDevice(
                others.isEmpty
                    ? "this machine has no RDMA device"
                    : "librdmacm can't use " + others.joined(separator: ", "))
        }
        for name in names where !all.contains(where: { $0.name == name }) {
            throw .noDevice(
                "there is no RDMA device '\(name)'; there are: "
                    + all.map(\.name).joined(separator: ", "))
        }
        let wanted =
            names.isEmpty ? all : names.compactMap { name in all.first { $0.name == name } }
        do throws(VerbsError) {
            var active: [RemoteDevice] = []
            for device in wanted where try device.attributes().isPortActive {
                active.append(try use(device))
            }
            if !active.isEmpty { return active }
        } catch {
            throw .unreachable("\(error)")
        }
        throw .unreachable(
            "no RDMA port is active: " + wanted.map(\.name).joined(separator: ", "))
    }

    private static func use(_ device: RDMADevice) throws(VerbsError) -> RemoteDevice {
        let known = inUse.withLock { $0[device.name] }
        if let known { return known }
        let made = try RemoteDevice(device)
        return inUse.withLock { devices in
            if let other = devices[device.name] { return other }
            devices[device.name] = made
            return made
        }
    }

    /// A device has gone, or its addresses have changed: it is looked at anew next time.
    static func forget(_ device: RemoteDevice) {
        inUse.withLock { devices in
            if devices[device.device.name] === device { devices[device.device.name] = nil }
        }
    }
}

#endif
