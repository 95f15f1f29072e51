// DeviceSource: how the configuration says which RDMA device to use: by its name, by its network
// interface, or whichever there is.
//
// Always holds: asked again for as long as there is no device, so that one that comes late, or
// comes back under another number, is found.

#if Verbs

package import Verbs

/// Finds one device. Used by one thread at a time.
package protocol DeviceSource: Sendable {
    /// Sees to it that the device is there, where that is this one's business.
    func prepare() throws(RDMAProblem)
    /// The device to use, of all that can be used now.
    func choose(from devices: [RDMADevice]) throws(RDMAProblem) -> RDMADevice
    /// Only addresses of this network interface count; nil for all of the device's.
    var interface: String? { get }
    /// It was made by the last `prepare`: its address and its port may take a moment.
    var isNew: Bool { get }
    /// Nothing of this process uses the device any more, and nothing will.
    func finish()
    /// What was done since the last call, as sentences.
    func takeNews() -> [String]
}

extension DeviceSource {
    package func prepare() throws(RDMAProblem) {}
    package var interface: String? { nil }
    package var isNew: Bool { false }
    package func finish() {}
    package func takeNews() -> [String] { [] }
}

/// The device of a name.
package struct NamedDevice: DeviceSource {
    private let name: String
    package init(_ name: String) { self.name = name }

    package func choose(from devices: [RDMADevice]) throws(RDMAProblem) -> RDMADevice {
        if let device = devices.first(where: { $0.name == name }) { return device }
        let existing = RDMADevice.names
        if existing.isEmpty { throw .noRDMA }
        if existing.contains(name) { throw .notUsable(device: name) }
        throw .noSuchDevice(name, existing: existing)
    }
}

/// The device on a network interface, whatever its name.
package struct InterfaceDevice: DeviceSource {
    private let name: String
    package init(_ name: String) { self.name = name }

    package var interface: String? { name }

    package func choose(from devices: [RDMADevice]) throws(RDMAProblem) -> RDMADevice {
        guard let interface = NetworkInterface(name) else {
            throw .noSuchInterface(name, existing: NetworkInterface.names)
        }
        let found = devices.first { ((try? $0.addresses(on: interface)) ?? []).isEmpty == false }
        if let found { return found }
        let existing = RDMADevice.names
        if existing.isEmpty { throw .noRDMA }
        throw .noDevice(interface: name, existing: existing)
    }
}

/// One that has an address: one with `preferred` among them, or one whose port is active, or the
/// first by name.
package struct AnyDevice: DeviceSource {
    private let preferred: RDMAAddress
    /// The server's own address in the network.
    package init(preferred: RDMAAddress) { self.preferred = preferred }

    package func choose(from devices: [RDMADevice]) throws(RDMAProblem) -> RDMADevice {
        let usable = devices.compactMap { device in
            (try? device.addresses()).map { (device: device, addresses: $0) }
        }.filter { !$0.addresses.isEmpty }.sorted { $0.device.name < $1.device.name }
        let best =
            usable.first { $0.addresses.contains(preferred) }
            ?? usable.first { (try? $0.device.attributes())?.isPortActive ?? false }
            ?? usable.first
        if let best { return best.device }
        let existing = RDMADevice.names
        throw existing.isEmpty ? .noRDMA : .noneUsable(existing)
    }
}

/// Which of a device's addresses are listened on.
enum ListeningAddresses {
    private static let limit = 16

    /// `network` alone where the device has it: a server that is bound to one address has its RDMA
    /// there too. Otherwise all.
    static func chosen(from addresses: [RDMAAddress], network: RDMAAddress) -> [RDMAAddress] {
        addresses.contains(network) ? [network] : Array(addresses.prefix(limit))
    }
}

#endif
