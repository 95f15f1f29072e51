// Batches by RDMA, from the client that users have to a memkvd without keys. Its place and the
// client's device stand in MEMKV_TEST_RDMA_STORE as "HOST:PORT DEVICE"; Tests/Guest gives one.

#if IOUring && Verbs

import Client
import Foundation
import Testing
import Wire

struct StoreByRDMA {
    let server: ServerAddress
    let device: String

    init?(_ text: String?) {
        guard let words = text?.split(separator: " ").map(String.init), words.count == 2,
            let server = try? ServerAddress(parsing: words[0])
        else { return nil }
        self.server = server
        device = words[1]
    }

    static let given = StoreByRDMA(ProcessInfo.processInfo.environment["MEMKV_TEST_RDMA_STORE"])

    func client() -> BlockingClient {
        var configuration = ClientConfiguration(servers: [server], seed: 1)
        configuration.transport = .rdma
        configuration.remoteDevices = [device]
        return BlockingClient(configuration)
    }
}

@Suite(.serialized, .enabled(if: StoreByRDMA.given != nil))
struct BatchTests {
    /// Of one byte, of no whole words, of one chunk and of several.
    static let lengths = [1, 4097, 65536, 300_001, 1 << 20]

    private var deadline: MonotonicTime {
        BlockingClient.now.advanced(byMicroseconds: 60_000_000)
    }

    private func key(_ name: String) -> BlockKey {
        BlockKey.sha256(of: Array(name.utf8), namespace: Namespace(0))
    }

    /// Memory with `count` bytes that no other `seed` has.
    private func value(_ count: Int, seed: UInt8) -> OwnedBytes {
        OwnedBytes((0..<count).map { UInt8(truncatingIfNeeded: $0 / 251) &+ seed })
    }

    private func put(_ values: [OwnedBytes], _ name: String, by client: BlockingClient) throws {
        let items = values.enumerated().map { number, value in
            PutItem(key: key("\(name) \(number)"), value: value.source(count: value.count))
        }
        let statuses = try client.putBatch(items, deadline: deadline)
        #expect(statuses == values.map { _ in .ok })
    }

    @Test func valuesTravelBothWaysAndAbsentOnesAreMissed() throws {
        let client = try #require(StoreByRDMA.given).client()
        for seed in [UInt8(1), 77] {
            let values = Self.lengths.map { value($0, seed: seed) }
            try put(values, "batch", by: client)
            // An absent key before each one that is there, and room behind each value.
            let memories = values.map { OwnedBytes(count: $0.count + 100) }
            let unused = OwnedBytes(count: 5000)
            let wanted = memories.enumerated().flatMap { number, memory in
                [
                    GetItem(key: key("absent \(number)"), destination: unused.destination),
                    GetItem(key: key("batch \(number)"), destination: memory.destination),
                ]
            }
            let found = try client.getBatch(wanted, deadline: deadline)
            for (number, value) in values.enumerated() {
                #expect(found[2 * number] == ItemOutcome(status: .ended(.notFound)))
                #expect(
                    found[2 * number + 1]
                        == ItemOutcome(status: .ok, valueBytes: UInt32(value.count)))
                #expect(
                    memories[number].copy(count: value.count) == value.copy(count: value.count),
                    "\(value.count) bytes came back")
                let behind = memories[number].copy(count: value.count + 100).suffix(100)
                #expect(behind.allSatisfy { $0 == 0 })
            }
            #expect(unused.copy(count: 5000).allSatisfy { $0 == 0 })
        }
        #expect(client.isRemote(ServerNumber(0)))
    }

    @Test func aValueLongerThanItsMemoryCostsNoOther() throws {
        let client = try #require(StoreByRDMA.given).client()
        let values = [value(9000, seed: 5), value(70_000, seed: 6), value(3, seed: 7)]
        try put(values, "long", by: client)
        let memories = [9000, 69_999, 3].map { OwnedBytes(count: $0) }
        let found = try client.getBatch(
            memories.enumerated().map { number, memory in
                GetItem(key: key("long \(number)"), destination: memory.destination)
            }, deadline: deadline)
        #expect(found.map(\.status) == [.ok, .bufferTooSmall(neededBytes: 70_000), .ok])
        for number in [0, 2] {
            let count = values[number].count
            let isSame = memories[number].copy(count: count) == values[number].copy(count: count)
            #expect(isSame)
        }
        #expect(memories[1].copy(count: 69_999).allSatisfy { $0 == 0 }, "nothing was written")
    }

    @Test func keysAreAskedForAndDeletedTogether() throws {
        let client = try #require(StoreByRDMA.given).client()
        try put([value(100, seed: 1), value(200, seed: 2)], "gone", by: client)
        let keys = [key("gone 0"), key("never there"), key("gone 1")]
        let there: [OutcomeStatus] = [.ok, .ended(.notFound), .ok]
        #expect(try client.exists(keys, deadline: deadline) == there)
        #expect(try client.deleteBatch(keys, deadline: deadline) == there)
        #expect(try client.exists(keys, deadline: deadline) == keys.map { _ in .ended(.notFound) })
        #expect(client.isRemote(ServerNumber(0)))
    }
}

#endif
