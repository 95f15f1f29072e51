// RemoteTransport: the RDMA transport of a shard beside its TCP transport: each knows of the other
// only what is said here.
//
// Always holds: a queue pair belongs to a TCP session and may do what that may.

#if IOUring
#if Verbs

internal import Engine
internal import IOUring
internal import QueuePairs
internal import Wire

/// A shard's queue pairs, joined to its TCP sessions. Confined to the shard's thread.
final class RemoteTransport: QueuePairOffering, RDMAOwners, Watched {
    private let transport: RDMATransport
    private let tcp: TCPTransport
    let descriptors: [Int32]

    /// Marks the handles of requests that came on queue pairs.
    private static let mark: UInt32 = 1 << 31

    init(_ transport: RDMATransport, descriptors: [Int32], beside tcp: TCPTransport) {
        self.transport = transport
        self.descriptors = descriptors
        self.tcp = tcp
        transport.owners = self
        tcp.queuePairs = self
    }

    // MARK: - Requests

    func nextRequest(now: Instant) -> Request? {
        guard var request = transport.nextRequest(now: now) else { return nil }
        request.handle = RequestHandle(
            index: request.handle.index | Self.mark, generation: request.handle.generation)
        return request
    }

    /// The transport and its own handle, when the request came on a queue pair.
    func own(_ request: RequestHandle) -> (RDMATransport, RequestHandle)? {
        guard request.index & Self.mark != 0 else { return nil }
        return (
            transport,
            RequestHandle(index: request.index & ~Self.mark, generation: request.generation)
        )
    }

    func beginDrain() { transport.beginDrain() }

    // MARK: - Sessions

    func openQueuePair(
        for session: TCPSessionName, secret: Secret?, tagsPayloads: Bool, now: Instant
    ) -> (status: Status, body: [UInt64]) {
        if tagsPayloads {
            let reason = "values have tags here (network.payload_mac), and RDMA has none for them"
            return (.unsupported, QueuePairRefusal.words(reason))
        }
        switch transport.open(for: OwnerSession(session.rawValue), secret: secret, now: now) {
        case .offer(let offer): return (.ok, offer.words)
        case .unavailable(let reason): return (.unavailable, QueuePairRefusal.words(reason))
        }
    }

    func sessionEnded(_ session: TCPSessionName) {
        transport.ownerEnded(OwnerSession(session.rawValue))
    }

    func mayUse(_ namespace: Namespace, _ owner: OwnerSession) -> Bool {
        tcp.mayUse(namespace, TCPSessionName(owner.rawValue))
    }

    // MARK: - The ring

    func notified(_ index: Int) { transport.notified() }
    func look(now: Instant) -> Bool { transport.look(now: now) }
    func nextLook(now: Instant) -> Instant { transport.nextLook(now: now) }
}

#endif
#endif
