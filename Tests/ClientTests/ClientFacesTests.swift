// BlockingClient and AsyncClient over real sockets, against reference servers.

import Foundation
import Testing
import Wire

@testable import Client

@Suite struct ClientFacesTests {
    private func configuration(_ servers: [ReferenceServer]) -> ClientConfiguration {
        ClientConfiguration(
            servers: servers.map { ServerAddress(host: "127.0.0.1", port: $0.port) }, seed: 1)
    }

    @Test func blocksGoToTheirServersAndComeBack() throws {
        let servers = (0..<3).map { _ in ReferenceServer() }
        defer { servers.forEach { $0.stop() } }
        let client = BlockingClient(configuration(servers))
        let values = (0..<60).map { pattern(3000 + $0, seed: UInt64($0)) }
        let items = values.enumerated().map { index, value in
            PutItem(key: key("\(index)"), value: OwnedBytes(value).source)
        }
        let stored = try client.putBatch(items, deadline: after(seconds: 20))
        #expect(stored.allSatisfy { $0 == .ok })
        for (item, value) in zip(items, values) {
            for (number, server) in servers.enumerated() {
                let isOwner = client.placement.server(for: item.key).rawValue == number
                #expect(server[item.key] == (isOwner ? value : nil))
            }
        }
        #expect(servers.allSatisfy { $0.storedKeys.count > 5 })
        let memories = values.map { _ in OwnedBytes(count: 4000) }
        let fetched = try client.getBatch(
            zip(items, memories).map { GetItem(key: $0.key, destination: $1.destination) },
            deadline: after(seconds: 20))
        for (index, value) in values.enumerated() {
            #expect(memories[index].copy(count: Int(fetched[index].valueBytes)) == value)
        }
        #expect(
            try client.deleteBatch(items.map(\.key), deadline: after(seconds: 20))
                .allSatisfy { $0 == .ok })
        #expect(servers.allSatisfy { $0.storedKeys.isEmpty })
    }

    @Test func aNameIsLookedUpAndSeveralConnectionsShare() throws {
        let server = ReferenceServer(Behaviour(requestsInFlight: 4))
        defer { server.stop() }
        var configuration = configuration([server])
        configuration.servers = [ServerAddress(host: "localhost", port: server.port)]
        configuration.connectionsPerServer = 3
        let client = BlockingClient(configuration)
        let value = OwnedBytes(pattern(200_000, seed: 1))
        for index in 0..<60 {
            _ = try client.submit(
                .put(PutItem(key: key("\(index)"), value: value.source)),
                deadline: after(seconds: 20))
        }
        var ended = 0
        while let outcome = client.nextOutcome() {
            #expect(outcome.status == .ok)
            ended += 1
        }
        #expect(ended == 60)
        #expect(server.requests(of: .connect) == 3)
        #expect(server.storedKeys.count == 60)
    }

    @Test func anUnknownHostIsToldAsOne() throws {
        var configuration = ClientConfiguration(
            servers: [ServerAddress(host: "no-such-host.invalid", port: 1)], seed: 1)
        configuration.connectMicroseconds = 20_000_000
        let client = BlockingClient(configuration)
        #expect(throws: ClientError.serverUnavailable) {
            try client.stat(key("a"), deadline: after(seconds: 20))
        }
        guard case .unknownHost = client.problem(of: ServerNumber(0)) else {
            Issue.record("\(String(describing: client.problem(of: ServerNumber(0))))")
            return
        }
    }

    @Test func aServerThatWentAwayWhileNobodyAskedIsFoundAgain() throws {
        let first = ReferenceServer(port: 21_913)
        let client = BlockingClient(configuration([first]))
        let item = PutItem(key: key("a"), value: OwnedBytes([1]).source)
        #expect(try client.putBatch([item], deadline: after(seconds: 20)) == [.ok])
        first.stop()
        let second = ReferenceServer(port: first.port)
        defer { second.stop() }
        // The end of the old connection is seen before the put is sent on it.
        usleep(50_000)
        #expect(try client.putBatch([item], deadline: after(seconds: 20)) == [.ok])
        #expect(second[key("a")] == [1])
    }

    @Test func manyTasksShareOneClient() async throws {
        let servers = (0..<3).map { _ in ReferenceServer() }
        defer { servers.forEach { $0.stop() } }
        var configuration = configuration(servers)
        configuration.connectionsPerServer = 2
        let client = AsyncClient(configuration)
        defer { client.close() }
        try await withThrowingTaskGroup { group in
            for task in 0..<40 {
                group.addTask {
                    let value = pattern(5000 + task, seed: UInt64(task))
                    let names = (0..<10).map { key("\(task) \($0)") }
                    let limit = after(seconds: 60)
                    let stored = try await client.put(
                        names.map { PutItem(key: $0, value: OwnedBytes(value).source) },
                        deadline: limit)
                    #expect(stored.allSatisfy { $0 == .ok })
                    let memories = names.map { _ in OwnedBytes(count: 6000) }
                    let fetched = try await client.get(
                        zip(names, memories).map { GetItem(key: $0, destination: $1.destination) },
                        deadline: limit)
                    for (item, memory) in zip(fetched, memories) {
                        #expect(memory.copy(count: Int(item.valueBytes)) == value)
                    }
                    #expect(try await client.exists(names, deadline: limit) == stored)
                    #expect(try await client.delete(names, deadline: limit) == stored)
                }
            }
            try await group.waitForAll()
        }
        #expect(servers.allSatisfy { $0.storedKeys.isEmpty })
        #expect(servers.map { $0.requests(of: .connect) }.allSatisfy { (1...2).contains($0) })
    }

    @Test func aClosedClientEndsEveryCall() async throws {
        let server = ReferenceServer(Behaviour(neverAnswers: .stat))
        defer { server.stop() }
        let client = AsyncClient(configuration([server]))
        async let ended = client.perform(.stat(key("a")), deadline: .never)
        while server.requests(of: .stat) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        client.close()
        #expect(try await ended.status == .serverUnavailable)
        await #expect(throws: SubmitError.clientClosed) {
            try await client.perform(.stat(key("a")), deadline: .never)
        }
    }
}
