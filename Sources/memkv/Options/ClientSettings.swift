// ClientSettings: how memkv finds its servers, and what its requests travel by: a flag wins over
// the environment, the environment over the file that MEMKV_CONFIG names, the file over the
// default.
//
// Refuses, naming the flag, the variable, or the file's line: an unknown key or variable's value,
// an address that is none, a server or a device named twice.

import Client
import Foundation
import Schema

/// The client's configuration file, key by key.
struct ClientDocument {
    var servers: [Setting<String>]?
    var transport: Setting<String>?
    var devices: [Setting<String>]?
    var key: Setting<String>?

    static let schema = SectionSchema(keys: ["servers", "transport", "rdma_devices", "auth_key"])
    static let transports = TransportChoice.allCases.map(\.rawValue)
    private static let limitBytes = 1 << 20

    init(text: String, file: String) throws(ConfigurationError) {
        let root = try DocumentSection(document: text, file: file, schema: Self.schema)
        servers = try root.texts("servers")
        transport = try root.word("transport", among: Self.transports)
        devices = try root.texts("rdma_devices")
        key = try root.text("auth_key")
    }

    /// Reads the file that `place` names.
    init(at place: Setting<String>) throws(ConfigurationError) {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: place.value))
        } catch {
            throw place.refused("can't read \(place.value)")
        }
        guard data.count <= Self.limitBytes, let text = String(data: data, encoding: .utf8) else {
            throw place.refused("\(place.value) is not a text of at most 1 MiB in UTF-8")
        }
        try self.init(text: text, file: place.value)
    }
}

struct ClientSettings {
    /// One or more, none twice.
    let servers: [ServerAddress]
    /// Nobody named a server: it is the default one.
    let isDefault: Bool
    let transport: TransportChoice
    /// The RDMA devices to use; any, when none is named.
    let devices: [String]
    /// The file's key, as it stands there.
    let key: Setting<String>?

    static let defaultServer = "127.0.0.1:9900"

    init(
        serverFlag: String?, transportFlag: String?, environment: [String: String]
    ) throws(ConfigurationError) {
        func variable(_ name: String) -> Setting<String>? {
            guard let value = environment[name], !value.isEmpty else { return nil }
            return Setting(value, key: name, origin: .variable(name))
        }
        var document: ClientDocument?
        if let place = variable("MEMKV_CONFIG") { document = try ClientDocument(at: place) }
        let flag = transportFlag.map {
            Setting($0, key: "--transport", origin: .flag("--transport"))
        }
        transport = try Self.transport(flag ?? variable("MEMKV_TRANSPORT") ?? document?.transport)
        let named = variable("MEMKV_RDMA_DEVICES").map(Self.split) ?? document?.devices ?? []
        devices = try Self.devices(named)
        let listed: [Setting<String>]
        if let serverFlag {
            listed = Self.split(Setting(serverFlag, key: "--server", origin: .flag("--server")))
        } else if let fromEnvironment = variable("MEMKV_SERVERS") {
            listed = Self.split(fromEnvironment)
        } else {
            listed =
                document?.servers
                ?? [Setting(Self.defaultServer, key: "servers", origin: .standard)]
        }
        servers = try Self.addresses(listed)
        isDefault = listed.allSatisfy { $0.origin == .standard }
        key = document?.key
    }

    private static func transport(
        _ setting: Setting<String>?
    ) throws(ConfigurationError) -> TransportChoice {
        guard let setting else { return .auto }
        guard let choice = TransportChoice(rawValue: setting.value) else {
            throw setting.refused(
                "\"\(setting.value)\" is not one of "
                    + ClientDocument.transports.joined(separator: ", "))
        }
        return choice
    }

    private static func devices(
        _ settings: [Setting<String>]
    ) throws(ConfigurationError) -> [String] {
        var names: [String] = []
        for setting in settings {
            guard !setting.value.isEmpty else {
                throw setting.refused("a device's name is empty")
            }
            guard !names.contains(setting.value) else {
                throw setting.refused("\(setting.value) is named twice; name each device once")
            }
            names.append(setting.value)
        }
        return names
    }

    /// The items of a comma list, each with where it came from.
    private static func split(_ list: Setting<String>) -> [Setting<String>] {
        list.value.split(separator: ",", omittingEmptySubsequences: false).map {
            Setting($0.trimmingCharacters(in: .whitespaces), key: list.key, origin: list.origin)
        }
    }

    private static func addresses(
        _ settings: [Setting<String>]
    ) throws(ConfigurationError) -> [ServerAddress] {
        var servers: [ServerAddress] = []
        for setting in settings {
            do throws(AddressError) {
                servers.append(try ServerAddress(parsing: setting.value))
            } catch {
                throw setting.refused("\(error)")
            }
            if let repeated = ClientConfiguration.firstRepeated(in: servers) {
                throw setting.refused("\(repeated) is named twice; name each server once")
            }
        }
        return servers
    }
}
