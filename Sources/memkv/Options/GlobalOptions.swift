// Options that every command takes, before or behind its name, and what they come to with the
// environment.

import ArgumentParser
import Client
import Foundation
import Wire

struct GlobalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The server.", valueName: "host:port"))
    var server: String?

    @Option(help: "The namespace that keys lie in. (default: 0)")
    var namespace: UInt32?

    @Option(help: ArgumentHelp("How long to wait. (default: 30)", valueName: "seconds"))
    var timeout: Double?

    @Option(
        help: ArgumentHelp(
            "File with the key of the server, 64 hex digits. (default: MEMKV_AUTH_KEY)",
            valueName: "file"))
    var authKeyFile: String?

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
    /// Nil for servers that ask for none.
    let key: AuthenticationKey?
    let namespace: Namespace
    let timeoutMicroseconds: UInt64
    let json: Bool

    init(inner: GlobalOptions, outer: GlobalOptions, environment: [String: String]) throws {
        let listed = environment["MEMKV_SERVERS"].flatMap { $0.isEmpty ? nil : $0 }
        let text = inner.server ?? outer.server ?? listed ?? "127.0.0.1:9900"
        do {
            servers = try text.split(separator: ",").map { item throws(AddressError) in
                try ServerAddress(parsing: item.trimmingCharacters(in: .whitespaces))
            }
        } catch {
            throw CommandFailure(.usage, "\(error)")
        }
        guard !servers.isEmpty else {
            throw CommandFailure(.usage, "'\(text)' names no server; write HOST:PORT")
        }
        key = try KeyOption.key(
            file: inner.authKeyFile ?? outer.authKeyFile, environment: environment)
        namespace = Namespace(inner.namespace ?? outer.namespace ?? 0)
        let seconds = inner.timeout ?? outer.timeout ?? 30
        guard seconds > 0, seconds <= 4000 else {
            throw CommandFailure(
                .usage, "--timeout \(seconds): give more than 0 and at most 4000 seconds")
        }
        timeoutMicroseconds = UInt64(seconds * 1_000_000)
        json = inner.json || outer.json
    }

    /// The one server that blocks are stored on: keys aren't placed over several servers.
    func onlyServer() throws -> ServerAddress {
        guard servers.count == 1 else {
            throw CommandFailure(
                .usage,
                "\(servers.count) servers are named, and this command talks to one; give --server")
        }
        return servers[0]
    }

    /// When a wait that begins now ends.
    var deadline: MonotonicTime {
        TCPConnection.now.advanced(byMicroseconds: timeoutMicroseconds)
    }

    func connect() throws -> TCPConnection {
        let server = try onlyServer()
        do {
            return try TCPConnection(to: server, key: key, deadline: deadline)
        } catch {
            throw CommandFailure(error, server: server)
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
