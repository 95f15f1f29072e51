// A memkvd that runs, and clients that do right and wrong: its address is in
// MEMKV_TEST_RDMA_SERVER, as 127.0.0.1:PORT. Tests/Guest/rdma_metrics.py starts both, and compares
// what memkvd counts with what is done here.

#if IOUring && Verbs

import Client
import Foundation
import Testing
import Verbs
import Wire

/// What the environment says of the memkvd.
private enum Running {
    static let server = ProcessInfo.processInfo.environment["MEMKV_TEST_RDMA_SERVER"]
    /// The clients that are connected at the end stay so as long as this file is there.
    static let held = ProcessInfo.processInfo.environment["MEMKV_TEST_RDMA_HELD"]
}

@Suite(.enabled(if: Ends.given != nil && Running.server != nil))
struct StrangerTests {
    private static let count = 5000

    /// A client's TCP session, which offers one queue pair, and lives as long as this.
    private struct Session {
        let connection: TCPConnection
        let offer: QueuePairOffer

        init() throws {
            let address = try ServerAddress(parsing: try #require(Running.server))
            connection = try TCPConnection(
                to: address, asksForQueuePair: true,
                deadline: TCPConnection.now.advanced(byMicroseconds: 60_000_000))
            offer = try #require(connection.queuePair).offer
        }

        /// A client on the queue pair that was offered, and how its attempt to connect ended.
        func client(spoils: Bool = false) throws -> (client: PairClient, outcome: PairOutcome) {
            let ends = try #require(Ends.given)
            let client = try PairClient(device: ends.client, offer: offer, secret: nil)
            return (client, try client.connect(spoils: spoils, from: ends.address))
        }
    }

    private func write(
        _ client: PairClient, _ segment: RemoteSegment, length: Int = count
    ) throws -> Status? {
        let sum = unsafe Digest.xxh3(UnsafeRawBufferPointer(rebasing: client.value[..<Self.count]))
        return try client.ask(
            .write, key: 1, segments: [segment], payloadBytes: length, checksum: sum)?.header.status
    }

    private func read(_ client: PairClient, _ segment: RemoteSegment) throws -> Status? {
        try client.ask(.read, key: 1, segments: [segment])?.header.status
    }

    private var isHeld: Bool {
        Running.held.map { FileManager.default.fileExists(atPath: $0) } ?? false
    }

    /// Memory behind the client's last registered byte.
    private func beyond(_ client: PairClient) -> RemoteSegment {
        client.segment(Self.count, at: client.registeredBytes - 100)
    }

    @Test func whoDoesWrongHarmsNobody() throws {
        let session = try Session()
        let (right, outcome) = try session.client()
        #expect(outcome == .connected)
        unsafe right.value[0] = 7
        let stored = try write(right, right.segment(Self.count))
        #expect(stored == .ok)
        let refused = try write(right, right.segment(Self.count), length: Self.count - 1)
        #expect(refused == .invalidRequest)

        for wrong in ["key", "length", "key to write to"] {
            let other = try Session()
            let (client, outcome) = try other.client()
            #expect(outcome == .connected)
            var segment = wrong == "length" ? beyond(client) : client.segment(Self.count)
            if wrong != "length" { segment.remoteKey ^= 0x55 }
            let status =
                wrong == "key to write to"
                ? try read(client, segment) : try write(client, segment)
            #expect(status == nil, "a wrong \(wrong) ends the queue pair")
            client.end()
        }

        let once = try Session()
        let (first, accepted) = try once.client()
        #expect(accepted == .connected)
        first.end()
        let (_, again) = try once.client()
        #expect(again == .rejected, "an offer is taken once")
        let (_, forged) = try Session().client(spoils: true)
        #expect(forged == .rejected)

        let another = try Session()
        let (second, alsoAccepted) = try another.client()
        #expect(alsoAccepted == .connected)
        unsafe second.value[0] = 0
        let found = try read(second, second.segment(Self.count))
        #expect(found == .ok)
        let byte = unsafe second.value[0]
        #expect(byte == 7, "what was stored before is there")
        while isHeld { usleep(50_000) }
        let last = try read(right, right.segment(Self.count))
        #expect(last == .ok, "the first client has noticed nothing")
        right.end()
        second.end()
        #expect(session.connection.failure == nil && another.connection.failure == nil)
    }
}

#endif
