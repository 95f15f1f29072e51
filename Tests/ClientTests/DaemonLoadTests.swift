// The async client under load against three real memkvds, one of them killed with -9 and started
// again: only its own keys are missed, and they come back.

#if IOUring

import Foundation
import Synchronization
import Testing
import Wire

@testable import Client

/// Somebody else's server answers there, such as one that an interrupted test run left.
private struct PortTaken: Error {
    let address: ServerAddress
}

/// A memkvd with a store in memory of its own directory, beside the test bundle.
private final class Daemon {
    let port: UInt16
    private let directory: String
    private var process: Process?

    init(port: UInt16, directory: String) {
        self.port = port
        self.directory = directory
    }

    var address: ServerAddress { ServerAddress(host: "127.0.0.1", port: port) }

    func start() throws {
        let config = directory + "/memkvd-\(port).yaml"
        let text =
            "storage: { max_size: 256 MiB, eviction: { enabled: false } }\n"
            + "memory: { max_size: 32 MiB }\n"
        try text.write(toFile: config, atomically: true, encoding: .utf8)
        if (try? TCPConnection(to: address, deadline: after(seconds: 5))) != nil {
            throw PortTaken(address: address)
        }
        process = try CommandLineTool.start(
            ["--data", directory + "/store-\(port)", "--listen", "\(address)", "--config", config],
            executable: CommandLineTool.memkv.deletingLastPathComponent()
                .appendingPathComponent("memkvd"))
        while true {
            if (try? TCPConnection(to: address, deadline: after(seconds: 5))) != nil { return }
            guard process?.isRunning == true else { throw CocoaError(.fileReadUnknown) }
            usleep(20_000)
        }
    }

    func killNow() {
        guard let process else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        self.process = nil
    }

    deinit { killNow() }
}

/// What writers were told so far, and whether they should end.
private final class Told: Sendable {
    private let statuses = Mutex<[BlockKey: OutcomeStatus]>([:])
    private let ended = Mutex(false)

    var all: [BlockKey: OutcomeStatus] { statuses.withLock { $0 } }
    var isOver: Bool { ended.withLock { $0 } }

    func note(_ keys: [BlockKey], _ told: [OutcomeStatus]) {
        statuses.withLock { statuses in
            for (key, status) in zip(keys, told) { statuses[key] = status }
        }
    }

    func end() { ended.withLock { $0 = true } }
}

@Suite(.serialized) struct DaemonLoadTests {
    /// What came of the reads of one phase, by server.
    private struct Counts {
        var hits = [0, 0, 0]
        var others: [[OutcomeStatus: Int]] = [[:], [:], [:]]
    }

    /// Reads all of `keys` in batches of 16, a few batches at a time.
    private func readAll(
        _ keys: [BlockKey], by client: AsyncClient, _ placement: Placement
    ) async throws -> Counts {
        var counts = Counts()
        try await withThrowingTaskGroup(of: [(Int, OutcomeStatus)].self) { group in
            for start in stride(from: 0, to: keys.count, by: 16) {
                group.addTask {
                    let batch = keys[start..<min(start + 16, keys.count)]
                    let memories = batch.map { _ in OwnedBytes(count: 4096) }
                    let items = try await client.get(
                        zip(batch, memories).map { GetItem(key: $0, destination: $1.destination) },
                        deadline: after(seconds: 20))
                    return zip(batch, zip(items, memories)).map { key, got in
                        let (item, memory) = got
                        if item.status == .ok {
                            let bytes = memory.source(count: Int(item.valueBytes))
                            #expect(BlockKey.sha256(of: bytes, namespace: key.namespace) == key)
                        }
                        return (placement.server(for: key).rawValue, item.status)
                    }
                }
            }
            for try await results in group {
                for (server, status) in results {
                    if status == .ok {
                        counts.hits[server] += 1
                    } else {
                        counts.others[server][status, default: 0] += 1
                    }
                }
            }
        }
        return counts
    }

    @Test func aKilledServerCostsItsShareAndComesBack() async throws {
        let folder = try Folder()
        // Below the ports that the system gives out, so that nobody takes one in between.
        let daemons = [21_921, 21_931, 21_941].map { Daemon(port: $0, directory: folder.url.path) }
        for daemon in daemons { try daemon.start() }
        let servers = daemons.map(\.address)
        let placement = Placement(over: servers)
        var configuration = ClientConfiguration(servers: servers, seed: 1)
        configuration.connectionsPerServer = 2
        let client = AsyncClient(configuration)
        defer { client.close() }

        let values = (0..<600).map { pattern(1000 + $0, seed: UInt64($0)) }
        let keys = values.map { BlockKey.sha256(of: $0, namespace: Namespace(0)) }
        let stored = try await client.put(
            zip(keys, values).map { PutItem(key: $0, value: OwnedBytes($1).source) },
            deadline: after(seconds: 60))
        #expect(stored.allSatisfy { $0 == .ok })
        var shares = [0, 0, 0]
        for key in keys { shares[placement.server(for: key).rawValue] += 1 }

        let whole = try await readAll(keys, by: client, placement)
        #expect(whole.hits == shares)

        daemons[1].killNow()
        // The first request learns of it; from then on nobody waits.
        _ = try await client.exists(keys, deadline: after(seconds: 20))
        for _ in 0..<3 {
            let without = try await readAll(keys, by: client, placement)
            #expect(without.hits == [shares[0], 0, shares[2]])
            #expect(without.others == [[:], [.serverUnavailable: shares[1]], [:]])
        }

        try daemons[1].start()
        let limit = after(seconds: 30)
        while try await client.exists(keys, deadline: limit).contains(.serverUnavailable) {
            try await Task.sleep(for: .milliseconds(20))
        }
        let back = try await readAll(keys, by: client, placement)
        #expect(back.hits == shares)
    }

    /// Puts of one writer to each server while one server dies: what was acknowledged is there,
    /// what was called not done isn't.
    @Test func whatIsToldOfPutsUnderAKillIsTrue() async throws {
        let folder = try Folder()
        let daemons = [21_951, 21_961, 21_971].map { Daemon(port: $0, directory: folder.url.path) }
        for daemon in daemons { try daemon.start() }
        let client = AsyncClient(
            ClientConfiguration(servers: daemons.map(\.address), seed: 2))
        defer { client.close() }
        let told = Told()
        let load = Task {
            try await withThrowingTaskGroup { group in
                for writer in 0..<4 {
                    group.addTask {
                        var number = 0
                        while !told.isOver {
                            let value = OwnedBytes(pattern(500, seed: UInt64(number)))
                            let keys = (0..<8).map { key("\(writer) \(number) \($0)") }
                            let statuses = try await client.put(
                                keys.map { PutItem(key: $0, value: value.source) },
                                deadline: after(seconds: 5))
                            told.note(keys, statuses)
                            number += 1
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        for _ in 0..<3 {
            try await Task.sleep(for: .milliseconds(300))
            daemons[2].killNow()
            try await Task.sleep(for: .milliseconds(100))
            try daemons[2].start()
        }
        told.end()
        try await load.value
        let outcomes = told.all
        let names = Array(outcomes.keys)
        let found = try await client.exists(
            names, deadline: after(seconds: 30),
            policy: RequestPolicy(downServer: .waitUntilDeadline))
        for (name, found) in zip(names, found) {
            switch outcomes[name]! {
            case .ok: #expect(found == .ok)
            case .ended(.outcomeUnknown): break
            default: #expect(found == .ended(.notFound), "\(outcomes[name]!)")
            }
        }
        #expect(outcomes.values.contains(.serverUnavailable))
        #expect(outcomes.values.count { $0 == .ok } > 100)
    }
}

#endif
