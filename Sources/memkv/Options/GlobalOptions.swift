// Options that every command takes, before or behind its name, and what they come to with the
// environment and the configuration file.

import ArgumentParser
import Client
import Foundation
import Schema
import Wire

struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The server, or several: keys are placed over them.", valueName: "host:port,…"))
    var server: String?

    @Option(help: "The namespace that keys lie in. (default: 0)")
    var namespace: UInt32?

    @Option(help: ArgumentHelp("How long to wait. (default: 30)", valueName: "seconds"))
    var timeout: Double?

    @Option(
        help: ArgumentHelp(
            "File with the key of the servers, 64 hex digits. (default: MEMKV_AUTH_KEY)",
            valueName: "file"))
    var authKeyFile: String?

    @Option(
        help: ArgumentHelp(
            "What requests travel by: auto (RDMA where there is any, TCP meanwhile), rdma or tcp. "
                + "(default: MEMKV_TRANSPORT, or auto)",
            valueName: "transport"))
    var transport: String?

    @Flag(help: "Print the answer as JSON.")
    var json = false
}

/// A command with the options of its own place and those in front of its name.
protocol MemkvCommand: ParsableCommand {
    var global: GlobalOptions { get }
    var root: Memkv { get }
    func run(_ settings: Settings) throws
}

extension MemkvCommand {
    func run() throws {
        try run(
            try Settings(
                inner: global, outer: root.global, environment: ProcessInfo.processInfo.environment)
        )
    }
}

/// The options, resolved and checked.
struct Settings {
    /// One or more.
    let servers: [ServerAddress]
    /// Nobody named a server: it is the default one.
    let serversAreDefault: Bool
    let transport: TransportChoice
    /// The RDMA devices to use; any, when none is named.
    let remoteDevices: [String]
    /// Nil for servers that ask for none.
    let key: AuthenticationKey?
    let namespace: Namespace
    /// How the servers' admin endpoints are asked.
    let adminAccess: AdminAccess
    let timeoutMicroseconds: UInt64
    let json: Bool

    init(inner: GlobalOptions, outer: GlobalOptions, environment: [String: String]) throws {
        let found: ClientSettings
        do throws(ConfigurationError) {
            found = try ClientSettings(
                serverFlag: inner.server ?? outer.server,
                transportFlag: inner.transport ?? outer.transport, environment: environment)
        } catch {
            throw CommandFailure(.usage, "\(error)")
        }
        servers = found.servers
        serversAreDefault = found.isDefault
        transport = found.transport
        remoteDevices = found.devices
        key = try KeyOption.key(
            file: inner.authKeyFile ?? outer.authKeyFile, environment: environment,
            setting: found.key)
        namespace = Namespace(inner.namespace ?? outer.namespace ?? 0)
        let token = environment["MEMKV_ADMIN_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
        if let token, !token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
            throw CommandFailure(
                .usage, "MEMKV_ADMIN_TOKEN: a token is printable ASCII without spaces")
        }
        adminAccess = AdminAccess(
            token: token, authority: AdminAuthority(setting: environment["MEMKV_ADMIN_CA"]))
        let seconds = inner.timeout ?? outer.timeout ?? 30
        guard seconds > 0, seconds <= 4000 else {
            throw CommandFailure(
                .usage, "--timeout \(seconds): give more than 0 and at most 4000 seconds")
        }
        timeoutMicroseconds = UInt64(seconds * 1_000_000)
        json = inner.json || outer.json
    }

    /// When a wait that begins now ends.
    var deadline: MonotonicTime {
        BlockingClient.now.advanced(byMicroseconds: timeoutMicroseconds)
    }

    /// A client of all servers, with one connection to each.
    func client() -> BlockingClient {
        BlockingClient(configuration(servers: servers, seed: .random(in: 0 ... .max)))
    }

    /// What a client of `servers` is told.
    func configuration(servers: [ServerAddress], seed: UInt64) -> ClientConfiguration {
        var configuration = ClientConfiguration(servers: servers, seed: seed)
        configuration.key = key
        configuration.transport = transport
        configuration.remoteDevices = remoteDevices
        configuration.connectMicroseconds = timeoutMicroseconds
        return configuration
    }

    /// What a server told `client` of its limits.
    func limits(
        of server: ServerNumber, by client: BlockingClient
    ) throws(CommandFailure) -> ConnectResponse {
        do {
            return try client.limits(of: server, deadline: deadline)
        } catch {
            throw CommandFailure(error, server: servers[server.rawValue])
        }
    }

    /// The block key that `text` names. Refuses what isn't UTF-8: the shell's bytes reach a program
    /// with each wrong one replaced by the same character, so different keys would become one.
    func key(_ text: String) throws(CommandFailure) -> BlockKey {
        guard !text.unicodeScalars.contains("\u{FFFD}") else {
            throw CommandFailure(
                .usage, "a key must be UTF-8; give its SHA-256 as 64 hex digits instead")
        }
        return KeyRule.key(text, namespace: namespace)
    }
}
