// What joins a simulated shard's queue pairs to its TCP sessions, and clients to queue pairs.
//
// Always holds: a queue pair belongs to a TCP session and may do what that may; the handle of a
// request that came on one says so by its top bit.

internal import Client
internal import Engine
internal import QueuePairs
internal import Wire

/// A shard's RDMA, beside its TCP sessions.
final class ShardRemote: RDMAOwners {
    let transport: RDMATransport
    let memory: RDMAMemory
    private let fabric: SimulatedFabric
    private unowned let sessions: SimulatedSessions
    /// When it must be looked at though nothing has come.
    private(set) var nextLook = Instant.never

    static let mark: UInt32 = 1 << 31

    init(
        _ fabric: SimulatedFabric, shard: Int, sessions: SimulatedSessions, memory: RDMAMemory,
        cells: ShardCells
    ) {
        self.fabric = fabric
        self.sessions = sessions
        self.memory = memory
        transport = RDMATransport(
            fabric, shard: shard, slabs: sessions.slabs, memory: memory, cells: cells)
        transport.owners = self
    }

    var hasNews: Bool { fabric.hasNews }

    func look(now: Instant) {
        fabric.looked()
        _ = transport.look(now: now)
    }

    /// The shard has made a step.
    func stepped(now: Instant) { nextLook = transport.nextLook(now: now) }

    func nextRequest(now: Instant) -> Request? {
        guard var request = transport.nextRequest(now: now) else { return nil }
        request.handle = RequestHandle(
            index: request.handle.index | Self.mark, generation: request.handle.generation)
        return request
    }

    static func isOwn(_ request: RequestHandle) -> Bool { request.index & mark != 0 }

    static func own(_ request: RequestHandle) -> RequestHandle {
        RequestHandle(index: request.index & ~mark, generation: request.generation)
    }

    func mayUse(_ namespace: Namespace, _ owner: OwnerSession) -> Bool {
        sessions.mayUse(namespace, owner)
    }
}

extension SimulatedSessions {
    private static var indexBits: UInt64 { 20 }

    func owner(_ session: Int) -> OwnerSession {
        let number = UInt64(rows[session].connection?.number ?? 0)
        return OwnerSession(number << Self.indexBits | UInt64(session))
    }

    func mayUse(_ namespace: Namespace, _ owner: OwnerSession) -> Bool {
        let session = Int(owner.rawValue & (1 << Self.indexBits - 1))
        guard rows[session].connection != nil, self.owner(session) == owner else { return false }
        return rows[session].keys.map { scopedKeys[$0.place].opens(namespace) } ?? true
    }

    /// Answers RdmaOpen.
    func offerQueuePair(_ place: Int, by remote: ShardRemote) {
        let session = requests[place].session
        let request = requests[place].header
        let status: Status
        let words: [UInt64]
        switch remote.transport.open(
            for: owner(session), secret: rows[session].keys?.queuePairs, now: now)
        {
        case .offer(let offer): (status, words) = (.ok, offer.words)
        case .unavailable(let reason):
            (status, words) = (.unavailable, QueuePairRefusal.words(reason))
        }
        let body = requests[place].responseBody.start
        for (index, word) in words.enumerated() {
            arena.storeWord(word, at: body.advanced(by: UInt64(index) * 8))
        }
        answer(
            place,
            FrameHeader(
                operation: .rdmaOpen, isResponse: true, status: status,
                namespace: request.namespace, requestID: request.requestID,
                bodyBytes: UInt32(words.count * 8)))
    }
}

extension SimulatedNetwork {
    /// A queue pair on its way to the server.
    func openQueuePair(
        from client: Int, _ offer: QueuePairOffer, _ keys: QueuePairKeys, as role: QueuePairRole
    ) -> SimulatedQueuePair {
        queuePairCount += 1
        return SimulatedQueuePair(
            number: queuePairCount, client: client, world: world, offer: offer, keys: keys,
            role: role)
    }
}
