// The client's leases: requests, and RDMA WRITEs and READs of its own, right ones and wrong ones.

#if IOUring && Verbs

import Glibc
import Verbs
import Wire

/// What a request for a lease was answered.
struct LeaseAnswer {
    let status: Status
    let valueBytes: Int
    let checksum: UInt64
    /// Nil without `ok`.
    let grant: LeaseGrant?
}

extension PairClient {
    /// Nil when the queue pair failed instead.
    func allocate(key: UInt64, _ count: Int, namespace: UInt32 = 0) throws -> LeaseAnswer? {
        try send(.allocate, [key, 0, 0, 0, UInt64(count)], namespace: namespace)
        return try leaseAnswer()
    }

    func lookup(key: UInt64) throws -> LeaseAnswer? {
        try send(.lookup, [key, 0, 0, 0])
        return try leaseAnswer()
    }

    private func leaseAnswer() throws -> LeaseAnswer? {
        guard let (header, body) = try receive() else { return nil }
        return LeaseAnswer(
            status: header.status, valueBytes: Int(header.payloadBytes),
            checksum: header.payloadChecksum,
            grant: header.status == .ok ? try LeaseGrant(words: body) : nil)
    }

    func commit(_ lease: UInt64, _ count: Int, checksum: UInt64) throws -> Status? {
        try send(.commit, [lease], payloadBytes: count, checksum: checksum)
        return try receive()?.header.status
    }

    func release(_ lease: UInt64) throws -> Status? {
        try send(.release, [lease])
        return try receive()?.header.status
    }

    /// Moves the value's bytes from `offset` to a segment, or from there; how that ended.
    func move(
        _ kind: RDMAWork.Kind, _ segment: RemoteSegment, at offset: Int = 0
    ) throws -> WorkStatus {
        let number: UInt64 = 2 << 32
        let work = RDMAWork(
            kind: kind, workID: number, isSignalled: true,
            localAddress: self.segment(1, at: offset).address, localKey: registered.localKey,
            lengthBytes: segment.lengthBytes, remoteAddress: segment.address,
            remoteKey: segment.remoteKey)
        unsafe try connection.post([work] as InlineArray<1, RDMAWork>, count: 1)
        for _ in 0..<30_000 {
            while let completion = try nextCompletion() {
                if completion.workID == number || !completion.status.isSuccess {
                    return completion.status
                }
            }
            usleep(2000)
        }
        throw VerbsError("to move a value", ETIMEDOUT)
    }

    /// Moves a whole value; true when all of it succeeded.
    func moveAll(_ kind: RDMAWork.Kind, _ grant: LeaseGrant) throws -> Bool {
        var offset = 0
        for segment in grant.segments {
            guard try move(kind, segment, at: offset).isSuccess else { return false }
            offset += Int(segment.lengthBytes)
        }
        return true
    }
}

extension RemoteSegment {
    /// `count` bytes from byte `offset` of it, inside or outside.
    func part(at offset: Int, _ count: Int) -> RemoteSegment {
        RemoteSegment(
            address: address &+ UInt64(bitPattern: Int64(offset)), remoteKey: remoteKey,
            lengthBytes: UInt32(count))
    }
}

#endif
