// Leases between two RDMA devices: values that clients move by themselves, and clients that reach
// for more than they were given, or for longer. Server and client are one process here, so that a
// test can look at the memory that a client must not have touched.

#if IOUring && Verbs

import Engine
import Glibc
import QueuePairs
import RDMA
import Testing
import Verbs
import Wire

extension QueuePairTests {
    /// The bytes of the server's memory behind, and from, a segment.
    private func byte(_ segment: RemoteSegment, at offset: Int) -> UInt8 {
        let address = UInt(segment.address) &+ UInt(bitPattern: offset)
        return unsafe UnsafePointer<UInt8>(bitPattern: address)!.pointee
    }

    /// Another client of the same session.
    private func another(
        _ server: PairServer, as role: QueuePairRole = .leaseholder
    ) throws -> PairClient {
        let ends = try #require(Ends.given)
        guard case .offer(let offer) = server.offer() else { throw VerbsError("to be offered", 0) }
        let client = try PairClient(
            device: ends.client, offer: offer, secret: secret, role: role)
        let outcome = try client.connect(from: ends.address)
        #expect(outcome == .connected)
        return client
    }

    /// Stores a value through a lease.
    private func store(_ client: PairClient, key: UInt64, _ count: Int) throws -> UInt64 {
        let sum = fill(client, count)
        let grant = try #require(try client.allocate(key: key, count)?.grant)
        let isWritten = try client.moveAll(.write, grant)
        #expect(isWritten)
        let status = try client.commit(grant.leaseID, count, checksum: sum)
        #expect(status == .ok)
        return sum
    }

    /// What a client reads through a lease has this checksum.
    private func expectValue(
        _ client: PairClient, key: UInt64, _ count: Int, checksum sum: UInt64
    ) throws {
        clear(client, count)
        let answer = try #require(try client.lookup(key: key))
        #expect(answer.status == .ok && answer.valueBytes == count && answer.checksum == sum)
        let grant = try #require(answer.grant)
        let isRead = try client.moveAll(.read, grant)
        #expect(isRead)
        #expect(checksum(client, count) == sum, "\(count) bytes came back")
        let status = try client.release(grant.leaseID)
        #expect(status == .ok)
    }

    /// The answer to a Commit told whether a guess of what was there before was right, byte by byte.
    @Test func whatASlabHeldBeforeCannotBeGuessed() throws {
        try withPair(as: .leaseholder) { server, client, outcome in
            #expect(outcome == .connected)
            unsafe client.value[0] = 0xA5
            let sum = checksum(client, 1)
            let grant = try #require(try client.allocate(key: 1, 1)?.grant)
            let isWritten = try client.moveAll(.write, grant)
            #expect(isWritten)
            let stored = try client.commit(grant.leaseID, 1, checksum: sum)
            #expect(stored == .ok)
            let thief = try another(server)
            let unwritten = try #require(try thief.allocate(key: 2, 1)?.grant)
            #expect(byte(unwritten.segments[0], at: 0) == 0)
            let guessed = try thief.commit(unwritten.leaseID, 1, checksum: sum)
            #expect(guessed == .checksumMismatch)
            thief.end()
        }
    }

    @Test(arguments: [true, false])
    func valuesTravelThroughLeases(isSigned: Bool) throws {
        try withPair(secret: isSigned ? secret : nil, as: .leaseholder) { server, client, outcome in
            #expect(outcome == .connected)
            let absent = try client.lookup(key: 9)
            #expect(absent?.status == .notFound)
            for (number, count) in [1, PairServer.slabBytes, 100_001, 400_000].enumerated() {
                let key = UInt64(number + 1)
                let sum = try store(client, key: key, count)
                try expectValue(client, key: key, count, checksum: sum)
            }
            #expect(server.hasNoLease)
            let read = try client.ask(.read, key: 1, segments: [client.segment(1)])
            #expect(read?.header.status == .invalidRequest)
        }
    }

    @Test func leasesNeedAQueuePairForThem() throws {
        try withPair { server, client, outcome in
            #expect(outcome == .connected)
            let allocated = try client.allocate(key: 1, 100)
            #expect(allocated?.status == .invalidRequest)
            // What came through a lease is served to everybody else.
            let other = try another(server)
            let sum = try store(other, key: 3, 30_000)
            other.end()
            let read = try client.ask(.read, key: 3, segments: [client.segment(30_000)])
            #expect(read?.header.status == .ok)
            #expect(checksum(client, 30_000) == sum)
        }
    }

    /// One byte behind a lease that fills its slab, or that doesn't, or across its end, or in front
    /// of it.
    @Test(arguments: [
        (PairServer.slabBytes, PairServer.slabBytes, 1), (5000, 5000, 1),
        (PairServer.slabBytes, PairServer.slabBytes - 1, 2), (5000, -1, 1),
    ])
    func whatIsOutsideALeaseCantBeReached(count: Int, offset: Int, length: Int) throws {
        for kind in [RDMAWork.Kind.write, .read] {
            try withPair(as: .leaseholder) { server, client, outcome in
                #expect(outcome == .connected)
                _ = fill(client, count)
                // The first slab may have nothing in front of it that could be looked at.
                let first = try client.allocate(key: 2, 1)
                #expect(first?.status == .ok)
                let grant = try #require(try client.allocate(key: 1, count)?.grant)
                let segment = grant.segments[0]
                // The last byte of the lease itself can be reached.
                let inside = try client.move(.write, segment.part(at: count - 1, 1))
                #expect(inside.isSuccess)
                let outside = offset < 0 ? offset : count
                let before = byte(segment, at: outside)
                unsafe client.value[length - 1] = ~before
                let status = try client.move(kind, segment.part(at: offset, length))
                #expect(!status.isSuccess && !status.isFlushed, "\(status)")
                #expect(byte(segment, at: outside) == before)
                let late = try client.release(grant.leaseID)
                #expect(late == nil, "the queue pair has failed")
            }
        }
    }

    enum Revocation: CaseIterable { case commit, release, expiry }

    @Test(arguments: Revocation.allCases)
    func aWriteAfterTheRevocationFails(by revocation: Revocation) throws {
        let time: UInt64 = revocation == .expiry ? 1_000_000 : 60_000_000
        try withPair(as: .leaseholder, leaseMicroseconds: time) { server, client, outcome in
            #expect(outcome == .connected)
            let count = 40_000
            let sum = fill(client, count)
            let grant = try #require(try client.allocate(key: 1, count)?.grant)
            switch revocation {
            case .commit:
                let isWritten = try client.moveAll(.write, grant)
                #expect(isWritten)
                let status = try client.commit(grant.leaseID, count, checksum: sum)
                #expect(status == .ok)
            case .release:
                let status = try client.release(grant.leaseID)
                #expect(status == .ok)
            case .expiry:
                #expect(server.eventually(\.hasNoLease), "nobody keeps a slab by silence")
                #expect(server.service.count(.expiredLeases) == 1)
                let status = try client.commit(grant.leaseID, count, checksum: sum)
                #expect(status == .unknownLease)
            }
            #expect(server.hasNoLease)
            let before = byte(grant.segments[0], at: 0)
            unsafe client.value[0] = ~before
            let status = try client.move(.write, grant.segments[0].part(at: 0, 1))
            #expect(!status.isSuccess)
            #expect(byte(grant.segments[0], at: 0) == before)
            let other = try another(server)
            if revocation == .commit {
                try expectValue(other, key: 1, count, checksum: sum)
            } else {
                let absent = try other.lookup(key: 1)
                #expect(absent?.status == .notFound)
            }
            other.end()
        }
    }

    @Test func aServerThatDrainsTakesItsMemoryBack() throws {
        try withPair(as: .leaseholder) { server, client, outcome in
            #expect(outcome == .connected)
            let grant = try #require(try client.allocate(key: 1, 5000)?.grant)
            server.drain()
            #expect(server.eventually(\.hasNoLease))
            let more = try client.allocate(key: 1, 5000)
            #expect(more?.status == .shuttingDown)
            let status = try client.move(.write, grant.segments[0])
            #expect(!status.isSuccess)
        }
    }

    @Test func aLeaseToReadCantBeWritten() throws {
        try withPair(as: .leaseholder) { _, client, outcome in
            #expect(outcome == .connected)
            _ = try store(client, key: 1, 5000)
            let grant = try #require(try client.lookup(key: 1)?.grant)
            let committed = try client.commit(grant.leaseID, 5000, checksum: 0)
            #expect(committed == .invalidRequest)
            let status = try client.move(.write, grant.segments[0])
            #expect(!status.isSuccess)
        }
    }

    @Test func anothersLeaseIsNone() throws {
        try withPair(as: .leaseholder) { server, client, outcome in
            #expect(outcome == .connected)
            let sum = fill(client, 5000)
            let grant = try #require(try client.allocate(key: 1, 5000)?.grant)
            let other = try another(server)
            let committed = try other.commit(grant.leaseID, 5000, checksum: sum)
            #expect(committed == .unknownLease)
            let released = try other.release(grant.leaseID)
            #expect(released == .unknownLease)
            // Its key is worth nothing on another queue pair, of the same session even.
            let before = byte(grant.segments[0], at: 0)
            unsafe other.value[0] = ~before
            let status = try other.move(.write, grant.segments[0].part(at: 0, 1))
            #expect(!status.isSuccess)
            #expect(byte(grant.segments[0], at: 0) == before)
            other.end()
            let isWritten = try client.moveAll(.write, grant)
            #expect(isWritten)
            let status2 = try client.commit(grant.leaseID, 5000, checksum: sum)
            #expect(status2 == .ok)
        }
    }

    @Test func whatIsWrongWithALeaseIsAnswered() throws {
        try withPair(as: .leaseholder) { server, client, outcome in
            #expect(outcome == .connected)
            for (count, expected) in [(0, Status.invalidRequest), (5 << 20, .tooLarge)] {
                let answer = try client.allocate(key: 1, count)
                #expect(answer?.status == expected)
            }
            let forbidden = try client.allocate(key: 1, 100, namespace: 7)
            #expect(forbidden?.status == .forbidden)
            let unknown = try client.release(12345)
            #expect(unknown == .unknownLease)
            let sum = fill(client, 5000)
            let grant = try #require(try client.allocate(key: 1, 5000)?.grant)
            let shorter = try client.commit(grant.leaseID, 4999, checksum: sum)
            #expect(shorter == .invalidRequest)
            let isWritten = try client.moveAll(.write, grant)
            #expect(isWritten)
            let wrong = try client.commit(grant.leaseID, 5000, checksum: sum ^ 1)
            #expect(wrong == .checksumMismatch)
            let again = try client.commit(grant.leaseID, 5000, checksum: sum)
            #expect(again == .unknownLease)
            let absent = try client.lookup(key: 1)
            #expect(absent?.status == .notFound, "nothing was published")
            #expect(server.hasNoLease)
        }
    }

    @Test func aSessionHasSoManyLeases() throws {
        try withPair(as: .leaseholder) { server, client, outcome in
            #expect(outcome == .connected)
            var granted: [UInt64] = []
            for key in 0..<UInt64(PairServer.leasesPerSession) {
                let grant = try #require(try client.allocate(key: key, 20_000)?.grant)
                granted.append(grant.leaseID)
            }
            let more = try client.allocate(key: 99, 1)
            #expect(more?.status == .busy)
            let other = try another(server)
            let others = try other.allocate(key: 99, 1)
            #expect(others?.status == .busy, "of a session, not of a queue pair")
            other.end()
            let released = try client.release(granted[1])
            #expect(released == .ok)
            let fits = try client.allocate(key: 99, 1)
            #expect(fits?.status == .ok)
            // The client ends with four leases: withPair sees that every slab comes back.
        }
    }
}

#endif
