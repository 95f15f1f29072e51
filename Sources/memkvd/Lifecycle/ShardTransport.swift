// ShardTransport: a shard's clients, those on TCP and those on queue pairs, as one `Transport`.
//
// Always holds: a request's handle says by its top bit which of both it came from; where both have
// requests they take turns. Without RDMA it is TCP and nothing else.

#if IOUring

internal import Engine
internal import IOUring
internal import Wire
#if Verbs
internal import QueuePairs
#endif

/// Both transports of a shard. Confined to its thread.
struct ShardTransport: Transport {
    let tcp: TCPTransport
    #if Verbs
    private let remote: RemoteTransport?
    private var isRemoteFirst = false

    init(tcp: TCPTransport, remote: RemoteTransport? = nil) {
        self.tcp = tcp
        self.remote = remote
    }
    #else
    init(tcp: TCPTransport) { self.tcp = tcp }
    #endif

    /// The shard takes no more requests: what clients hold of its memory ends.
    func beginDrain() {
        #if Verbs
        remote?.beginDrain()
        #endif
    }

    mutating func nextRequest(now: Instant) -> Request? {
        #if Verbs
        guard let remote else { return tcp.nextRequest(now: now) }
        isRemoteFirst.toggle()
        if isRemoteFirst, let request = remote.nextRequest(now: now) { return request }
        return tcp.nextRequest(now: now) ?? (isRemoteFirst ? nil : remote.nextRequest(now: now))
        #else
        return tcp.nextRequest(now: now)
        #endif
    }

    mutating func takePayload(of request: RequestHandle) -> SlabLease? {
        #if Verbs
        if let (transport, handle) = remote?.own(request) {
            return transport.takePayload(of: handle)
        }
        #endif
        return tcp.takePayload(of: request)
    }

    mutating func admitsResponse(to request: RequestHandle, lengthBytes: UInt64) -> Bool {
        #if Verbs
        if let (transport, handle) = remote?.own(request) {
            return transport.admitsResponse(to: handle, lengthBytes: lengthBytes)
        }
        #endif
        return tcp.admitsResponse(to: request, lengthBytes: lengthBytes)
    }

    mutating func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?
    ) {
        #if Verbs
        if let (transport, handle) = remote?.own(request) {
            transport.respond(to: handle, with: response, payload: payload)
            return
        }
        #endif
        tcp.respond(to: request, with: response, payload: payload)
    }
}

#endif
