// TCPConnection against the reference server: every operation, and every way a server can let a
// client down.

import Testing
import Wire

@testable import Client

/// Bytes of a fixed pattern; different seeds give different bytes.
func pattern(_ count: Int, seed: UInt64) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = BlockKey.finalize(state)
        return UInt8(truncatingIfNeeded: state)
    }
}

func after(seconds: Double) -> MonotonicTime {
    TCPConnection.now.advanced(byMicroseconds: UInt64(seconds * 1_000_000))
}

func key(_ text: String) -> BlockKey { KeyRule.key(text, namespace: Namespace(7)) }

/// A connection to a server that behaves in some way, both gone at the end.
func withServer(
    _ behaviour: Behaviour = Behaviour(),
    _ body: (ReferenceServer, TCPConnection) throws -> Void
) throws {
    let server = ReferenceServer(behaviour)
    defer { server.stop() }
    let address = ServerAddress(host: "127.0.0.1", port: server.port)
    try body(server, try TCPConnection(to: address, deadline: after(seconds: 20)))
}

@Suite struct ConnectionTests {
    let value = pattern(300_000, seed: 1)

    @Test func connectTellsTheServersLimits() throws {
        try withServer(Behaviour(requestsInFlight: 3, valueLimitBytes: 1000)) { _, connection in
            #expect(connection.limits.requestsInFlight == 3)
            #expect(connection.limits.valueLimitBytes == 1000)
        }
    }

    @Test func whatWasPutIsGotAndDeleted() throws {
        try withServer { server, connection in
            #expect(throws: ClientError.ended(.notFound)) {
                try connection.get(
                    key("a"), into: OwnedBytes(count: 10).destination, deadline: .never)
            }
            try connection.put(key("a"), OwnedBytes(value).source, deadline: after(seconds: 20))
            #expect(server[key("a")] == value)
            let memory = OwnedBytes(count: 400_000)
            #expect(
                try connection.get(key("a"), into: memory.destination, deadline: .never)
                    == value.count)
            #expect(memory.copy(count: value.count) == value)
            let facts = try connection.stat(key("a"), deadline: .never)
            #expect(
                facts
                    == BlockFacts(
                        lengthBytes: 300_000, checksum: ReferenceStore.checksum(value), version: 1))
            try connection.delete(key("a"), deadline: .never)
            #expect(throws: ClientError.ended(.notFound)) {
                try connection.delete(key("a"), deadline: .never)
            }
        }
    }

    @Test func batchesCarryEachItemsOwnOutcome() throws {
        try withServer { server, connection in
            let values = (0..<9).map { pattern(4095 + Int($0), seed: $0) }
            let items = values.enumerated().map { index, value in
                PutItem(key: key("\(index)"), value: OwnedBytes(value).source)
            }
            #expect(
                try connection.putBatch(items, deadline: .never)
                    == Array(repeating: OutcomeStatus.ok, count: 9))
            for (index, value) in values.enumerated() { #expect(server[key("\(index)")] == value) }

            let memories = (0..<10).map { OwnedBytes(count: $0 == 4 ? 100 : 8192) }
            let wanted = (0..<10).map {
                GetItem(key: key("\($0)"), destination: memories[$0].destination)
            }
            let fetched = try connection.getBatch(wanted, deadline: .never)
            for index in 0..<9 where index != 4 {
                #expect(
                    fetched[index]
                        == ItemOutcome(status: .ok, valueBytes: UInt32(values[index].count)))
                #expect(memories[index].copy(count: values[index].count) == values[index])
            }
            #expect(fetched[4].status == .bufferTooSmall(neededBytes: 4099))
            #expect(memories[4].copy(count: 100) == [UInt8](repeating: 0, count: 100))
            #expect(fetched[9].status == .ended(.notFound))

            #expect(
                try connection.exists([key("1"), key("none")], deadline: .never)
                    == [.ok, .ended(.notFound)])
            #expect(
                try connection.deleteBatch([key("1"), key("none")], deadline: .never)
                    == [.ok, .ended(.notFound)])
        }
    }

    @Test func anItemThatFailsKeepsItsPlaceInTheBatch() throws {
        let behaviour = Behaviour(
            payloadLimitBytes: 16 << 20, failsToReadInBatches: key("1"), padsBatches: true)
        try withServer(behaviour) { server, connection in
            let values = (0..<4).map { pattern(5000 + Int($0), seed: $0) }
            for (index, value) in values.enumerated() { server[key("\(index)")] = value }
            let memories = values.map { _ in OwnedBytes(count: 6000) }
            let items = (0..<4).map {
                GetItem(key: key("\($0)"), destination: memories[$0].destination)
            }
            let fetched = try connection.getBatch(items, deadline: .never)
            #expect(fetched[1] == ItemOutcome(status: .ended(.notFound)))
            #expect(memories[1].copy(count: 6000).allSatisfy { $0 == 0 })
            for index in [0, 2, 3] {
                #expect(fetched[index].status == .ok)
                #expect(memories[index].copy(count: values[index].count) == values[index])
            }
        }
    }

    @Test func aBatchTakesWhatFitsAndNamesTheRest() throws {
        let behaviour = Behaviour(valueLimitBytes: 8192, payloadLimitBytes: 10_000)
        try withServer(behaviour) { server, connection in
            let memory = OwnedBytes(count: 8192)
            let items = ["a", "b", "c"].map {
                GetItem(key: key($0), destination: memory.destination)
            }
            for item in items { server[item.key] = pattern(6000, seed: 1) }
            server[key("c")] = [1]
            let fetched = try connection.getBatch(items, deadline: .never)
            #expect(
                fetched.map(\.status) == [.ok, .ended(.tooLarge), .ok])
        }
    }

    @Test func outcomesAreMatchedWhenAnswersComeInReverse() throws {
        try withServer(Behaviour(answersReversedInGroupsOf: 5)) { server, connection in
            let values = (0..<5).map { pattern(10_000 + Int($0), seed: $0) }
            for (index, value) in values.enumerated() { server[key("\(index)")] = value }
            let memories = values.map { _ in OwnedBytes(count: 20_000) }
            var tags: [RequestTag: Int] = [:]
            for index in values.indices {
                let request = ClientRequest.get(
                    GetItem(key: key("\(index)"), destination: memories[index].destination))
                tags[try connection.submit(request, deadline: .never)] = index
            }
            var order: [Int] = []
            while let outcome = connection.nextOutcome() {
                let index = try #require(tags[outcome.tag])
                #expect(outcome.status == .ok)
                #expect(memories[index].copy(count: Int(outcome.valueBytes)) == values[index])
                order.append(index)
            }
            #expect(order == [4, 3, 2, 1, 0])
        }
    }

    @Test func theWindowIsTheServers() throws {
        try withServer(Behaviour(requestsInFlight: 2, neverAnswers: .stat)) { _, connection in
            for name in ["a", "b"] {
                _ = try connection.submit(.stat(key(name)), deadline: after(seconds: 0.2))
            }
            #expect(!connection.hasRoom)
            #expect(throws: SubmitError.windowFull) {
                try connection.submit(.stat(key("c")), deadline: .never)
            }
            #expect(connection.nextOutcome()?.status == .ended(.deadlineExceeded))
            #expect(connection.nextOutcome()?.status == .ended(.deadlineExceeded))
            // Their responses may still come: their places stay taken.
            #expect(!connection.hasRoom)
        }
    }

    @Test func aLargePipelineInBothDirectionsDoesNotLockUp() throws {
        try withServer(Behaviour(requestsInFlight: 64)) { server, connection in
            let large = pattern(4 << 20, seed: 5)
            server[key("large")] = large
            let source = OwnedBytes(large)
            let memories = (0..<16).map { _ in OwnedBytes(count: large.count) }
            for index in 0..<16 {
                let get = GetItem(key: key("large"), destination: memories[index].destination)
                _ = try connection.submit(.get(get), deadline: after(seconds: 30))
                let put = PutItem(key: key("put \(index)"), value: source.source)
                _ = try connection.submit(.put(put), deadline: after(seconds: 30))
            }
            var ended = 0
            while let outcome = connection.nextOutcome() {
                #expect(outcome.status == .ok)
                ended += 1
            }
            #expect(ended == 32)
            #expect(memories.allSatisfy { $0.copy(count: large.count) == large })
        }
    }

    @Test func aDamagedValueIsNeverOk() throws {
        try withServer(Behaviour(damagesValues: true)) { server, connection in
            server[key("a")] = value
            let memory = OwnedBytes(count: 400_000)
            #expect(throws: ClientError.ended(.checksumMismatch)) {
                try connection.get(key("a"), into: memory.destination, deadline: .never)
            }
            let fetched = try connection.getBatch(
                [GetItem(key: key("a"), destination: memory.destination)], deadline: .never)
            #expect(fetched == [ItemOutcome(status: .ended(.checksumMismatch))])
            #expect(try connection.stat(key("a"), deadline: .never).lengthBytes == 300_000)
        }
    }

    @Test func aBufferThatIsTooSmallStaysUntouchedAndTheSessionGoesOn() throws {
        try withServer { server, connection in
            server[key("a")] = value
            let memory = OwnedBytes(count: 299_999)
            #expect(throws: ClientError.bufferTooSmall(neededBytes: 300_000)) {
                try connection.get(key("a"), into: memory.destination, deadline: .never)
            }
            #expect(memory.copy(count: 299_999).allSatisfy { $0 == 0 })
            let found = try connection.exists([key("a")], deadline: .never)
            #expect(found == [.ok])
        }
    }

    @Test func limitsAreRefusedBeforeAnythingLeaves() throws {
        let behaviour = Behaviour(
            batchLimit: 2, valueLimitBytes: 100, payloadLimitBytes: 4100)
        try withServer(behaviour) { server, connection in
            let small = OwnedBytes(count: 100).source
            let large = OwnedBytes(count: 101).source
            #expect(throws: ClientError.notTaken(.valueTooLarge(lengthBytes: 101, limitBytes: 100)))
            {
                try connection.put(key("a"), large, deadline: .never)
            }
            #expect(throws: ClientError.notTaken(.emptyValue)) {
                try connection.put(key("a"), small.slice(from: 0, count: 0), deadline: .never)
            }
            #expect(throws: ClientError.notTaken(.batchTooLarge(count: 3, limit: 2))) {
                try connection.exists([key("a"), key("b"), key("c")], deadline: .never)
            }
            #expect(throws: ClientError.notTaken(.emptyBatch)) {
                try connection.exists([], deadline: .never)
            }
            let two = ["a", "b"].map { PutItem(key: key($0), value: small) }
            #expect(
                throws: ClientError.notTaken(.payloadTooLarge(lengthBytes: 4196, limitBytes: 4100))
            ) { try connection.putBatch(two, deadline: .never) }
            let other = BlockKey(namespace: Namespace(8), words: (0, 0, 0, 0))
            #expect(throws: ClientError.notTaken(.mixedNamespaces)) {
                try connection.exists([key("a"), other], deadline: .never)
            }
            #expect(server.requests(of: .exists) + server.requests(of: .tcpPut) == 0)
        }
    }

    @Test func refusalsAreHandedOnAsTheyAre() throws {
        for status in Status.allCases where status != .ok {
            try withServer(Behaviour(refuses: (.tcpPut, status))) { _, connection in
                #expect(throws: ClientError.ended(status)) {
                    try connection.put(key("a"), OwnedBytes(count: 5).source, deadline: .never)
                }
            }
        }
    }
}
