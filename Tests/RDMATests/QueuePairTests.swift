// The server's queue pairs between two RDMA devices, given as "server=DEVICE client=DEVICE,ADDRESS"
// in MEMKV_TEST_RDMA; Tests/Guest/softroce.py gives two Soft-RoCE ones.

#if IOUring && Verbs

import Engine
import Foundation
import QueuePairs
@testable import RDMA
import Synchronization
import Testing
import Verbs
import Wire

struct Ends {
    let server: String
    let client: String
    let address: RDMAAddress

    init?(_ text: String?) {
        guard let words = text?.split(whereSeparator: { " =,".contains($0) }), words.count == 5
        else { return nil }
        server = String(words[1])
        client = String(words[3])
        let bytes = words[4].split(separator: ".").compactMap { UInt8($0) }
        guard bytes.count == 4 else { return nil }
        address = RDMAAddress(v4: [bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    static let given = Ends(ProcessInfo.processInfo.environment["MEMKV_TEST_RDMA"])
}

let secret = Secret(words: [1, 2, 3, 4])
nonisolated(unsafe) private var nextPort: UInt16 = 18_400

/// A device's listener that comes and goes as fast as it can.
private final class Flapping: Sendable {
    let isOver = Atomic<Bool>(false)
    let hasEnded = Atomic<Bool>(false)
    private let slot: RDMADeviceSlot

    init(_ slot: RDMADeviceSlot) { self.slot = slot }

    func run() {
        while !isOver.load(ordering: .acquiring) {
            slot.listens(false, problem: nil)
            slot.listens(true, problem: nil)
        }
        hasEnded.store(true, ordering: .releasing)
    }
}

@Suite(.serialized, .enabled(if: Ends.given != nil))
struct QueuePairTests {
    /// Runs `body` with a server and a client that is offered a queue pair; everything of the
    /// server's must be free again afterwards.
    func withPair(
        secret: Secret? = secret, spoils: Bool = false, as role: QueuePairRole = .client,
        reads: UInt8 = 16, leaseMicroseconds: UInt64 = 60_000_000,
        _ body: (PairServer, PairClient, PairOutcome) throws -> Void
    ) throws {
        let ends = try #require(Ends.given)
        unsafe nextPort += 1
        let server = try PairServer(
            device: ends.server, port: unsafe nextPort, secret: secret,
            leaseMicroseconds: leaseMicroseconds)
        #expect(server.eventually { $0.service.isActive }, "\(server.service.problems)")
        guard case .offer(let offer) = server.offer() else {
            Issue.record("no offer: \(server.service.problems)")
            return
        }
        let client = try PairClient(
            device: ends.client, offer: offer, secret: secret, role: role)
        let outcome = try client.connect(
            spoils: spoils, reads: reads, from: ends.address)
        try body(server, client, outcome)
        client.end()
        #expect(server.eventually(\.isAtStart), "every slab and queue pair is free")
        server.stop()
    }

    func fill(_ client: PairClient, _ count: Int) -> UInt64 {
        let value = unsafe client.value
        // Byte by byte would take an emulated machine long.
        unsafe value[..<count].withMemoryRebound(to: UInt8.self) {
            unsafe $0.initialize(repeating: UInt8(truncatingIfNeeded: count))
        }
        for index in stride(from: 0, to: count, by: 251) {
            unsafe value[index] = UInt8(truncatingIfNeeded: index / 251)
        }
        return unsafe Digest.xxh3(UnsafeRawBufferPointer(rebasing: value[..<count]))
    }

    func clear(_ client: PairClient, _ count: Int) {
        let value = unsafe client.value
        unsafe value[..<count].withMemoryRebound(to: UInt8.self) {
            unsafe $0.initialize(repeating: 0)
        }
    }

    func checksum(_ client: PairClient, _ count: Int) -> UInt64 {
        unsafe Digest.xxh3(UnsafeRawBufferPointer(rebasing: client.value[..<count]))
    }

    @Test(arguments: [true, false])
    func valuesTravelBothWays(isSigned: Bool) throws {
        try withPair(secret: isSigned ? secret : nil) { server, client, outcome in
            #expect(outcome == .connected)
            let absent = try client.ask(.read, key: 1, segments: [client.segment(64)])
            #expect(absent?.header.status == .notFound)
            for (number, count) in [1, 4096, 100_001, 400_000].enumerated() {
                let key = UInt64(number + 1)
                let sum = fill(client, count)
                let written = try client.ask(
                    .write, key: key, segments: [client.segment(count)], payloadBytes: count,
                    checksum: sum)
                #expect(written?.header.status == .ok, "\(count) bytes written")
                clear(client, count)
                // Into three segments, the last of them longer than what is left.
                let cut = max(1, count / 3)
                let segments =
                    count < 3
                    ? [client.segment(count + 9)]
                    : [
                        client.segment(cut), client.segment(cut, at: cut),
                        client.segment(count - cut, at: 2 * cut),
                    ]
                let read = try client.ask(.read, key: key, segments: segments)
                #expect(read?.header.status == .ok)
                #expect(read?.header.payloadBytes == UInt32(count))
                #expect(read?.header.payloadChecksum == sum)
                #expect(checksum(client, count) == sum, "\(count) bytes came back")
            }
            let answer = try client.ask(.exists, key: 2)
            #expect(answer?.body == [UInt64(Status.ok.rawValue)])
            #expect(server.cells.histogram(.rdmaRead).count == 4)
            #expect(server.cells.value(.rdmaErrors) == 0)
        }
    }

    @Test func whatIsWrongWithARequestIsAnswered() throws {
        try withPair { server, client, outcome in
            #expect(outcome == .connected)
            let sum = fill(client, 5000)
            let segments = [client.segment(5000)]
            func write(_ segments: [RemoteSegment], _ count: Int, namespace: UInt32 = 0) throws
                -> Status?
            {
                try client.ask(
                    .write, key: 1, namespace: namespace, segments: segments, payloadBytes: count,
                    checksum: sum)?.header.status
            }
            let outcome1 = try write(segments, 4999)
            #expect(outcome1 == .invalidRequest)
            let outcome2 = try write(segments, 5000, namespace: 7)
            #expect(outcome2 == .forbidden)
            let outcome3 = try write([client.segment(4999)], 4999)
            #expect(outcome3 == .checksumMismatch)
            let stream = try client.ask(.tcpGet, key: 1)
            #expect(stream?.header.status == .invalidRequest)
            #expect(server.service.count(.invalidRequests) == 2)
            let outcome4 = try write(segments, 5000)
            #expect(outcome4 == .ok)
            clear(client, 5000)
            let read = try client.ask(.read, key: 1, segments: [client.segment(4000)])
            #expect(read?.header.status == .tooLarge)
            #expect(read?.header.payloadBytes == 5000)
            #expect(unsafe client.value[..<5000].allSatisfy { $0 == 0 }, "nothing was written")
        }
    }

    @Test func memoryThatMayNotBeReachedEndsTheQueuePair() throws {
        try withPair { server, client, outcome in
            #expect(outcome == .connected)
            var segment = client.segment(5000)
            segment.remoteKey ^= 0x55
            let answer = try client.ask(
                .write, key: 1, segments: [segment], payloadBytes: 5000)
            #expect(answer == nil)
            #expect(server.eventually { $0.cells.value(.rdmaErrors) > 0 })
        }
    }

    @Test func aForgedMessageEndsTheQueuePair() throws {
        try withPair { server, client, outcome in
            #expect(outcome == .connected)
            let right = try client.ask(.exists, key: 1)
            #expect(right?.header.status == .ok)
            let wrong = try client.ask(.exists, key: 1, spoilsTag: true)
            #expect(wrong == nil)
            #expect(server.service.count(.forgedMessages) == 1)
        }
    }

    @Test func aWrongGreetingIsRejected() throws {
        try withPair(spoils: true) { server, _, outcome in
            #expect(outcome == .rejected)
            #expect(server.service.count(.forgedGreetings) == 1)
        }
    }

    /// Whoever guesses an offer's name uses it up: two in a row must not tell of each other.
    @Test func theNameOfAnOfferSaysNothingOfTheNextOnes() throws {
        try withPair { server, _, _ in
            guard case .offer(let first) = server.offer(), case .offer(let second) = server.offer()
            else {
                Issue.record("no offers")
                return
            }
            #expect(first.sessionID > 1 << 16 && second.sessionID > 1 << 16)
            #expect(first.sessionID != second.sessionID &- 1)
            server.endOwner()
        }
    }

    @Test func whoLetsNobodyReadIsRejected() throws {
        try withPair(reads: 0) { _, _, outcome in #expect(outcome == .rejected) }
    }

    /// The control thread finds that a link is down, or up again, while an offer is being made.
    @Test func anOfferIsAnAnswerWhileTheLinkComesAndGoes() throws {
        try withPair { server, _, _ in
            let flapping = Flapping(server.service.slots[0])
            Thread.detachNewThread { flapping.run() }
            for _ in 0..<300 {
                _ = server.offer()
                server.endOwner()
            }
            flapping.isOver.store(true, ordering: .releasing)
            #expect(server.eventually { _ in flapping.hasEnded.load(ordering: .acquiring) })
        }
    }

    @Test func theOwnersEndIsTheQueuePairs() throws {
        try withPair { server, client, outcome in
            #expect(outcome == .connected)
            let right = try client.ask(.exists, key: 1)
            #expect(right?.header.status == .ok)
            server.endOwner()
            let late = try client.receive()
            #expect(late == nil)
        }
    }
}

#endif
