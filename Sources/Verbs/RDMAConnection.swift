// RDMAConnection: one librdmacm identifier: a listener, or a reliable connection with its queue
// pair.
//
// Always holds: every call but `end` and `makeQueuePair` returns at once; what was begun ends with
// an event or a completion. After `end` has returned, the device has let go of all memory of the
// connection's work, whose completions may be missing. Posting is for one thread at a time, and so
// is everything else; `end` comes last. Not ended, it ends when it is forgotten, whatever thread
// that is.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import CVerbs

/// How long a queue pair's queues are.
package struct QueuePairLengths: Hashable, Sendable {
    package let sends: Int
    package let receives: Int
    package init(sends: Int, receives: Int) {
        self.sends = sends
        self.receives = receives
    }
}

/// What goes along with connecting and accepting.
package struct ConnectionAgreement: Sendable {
    /// At most 56 bytes with `connect`, 196 with `accept`.
    package var privateData: [UInt8]
    /// RDMA reads of the other end in flight here at once, and of this end there.
    package var readsAccepted: UInt8
    package var readsInFlight: UInt8

    package init(privateData: [UInt8], readsAccepted: UInt8, readsInFlight: UInt8) {
        self.privateData = privateData
        self.readsAccepted = readsAccepted
        self.readsInFlight = readsInFlight
    }
}

/// A piece of work for a queue pair: a message, or a transfer from or to the other end's memory.
package struct RDMAWork: Sendable {
    package enum Kind: Hashable, Sendable { case send, read, write }
    package var kind: Kind
    package var workID: UInt64
    /// Completes also when it succeeds.
    package var isSignalled: Bool
    /// Where this end's bytes lie in the process's memory; registered under `localKey`.
    package var localAddress: UInt64
    package var localKey: UInt32
    package var lengthBytes: UInt32
    /// The other end's memory; nothing for a message.
    package var remoteAddress: UInt64
    package var remoteKey: UInt32

    package init(
        kind: Kind, workID: UInt64, isSignalled: Bool, localAddress: UInt64, localKey: UInt32,
        lengthBytes: UInt32, remoteAddress: UInt64 = 0, remoteKey: UInt32 = 0
    ) {
        self.kind = kind
        self.workID = workID
        self.isSignalled = isSignalled
        self.localAddress = localAddress
        self.localKey = localKey
        self.lengthBytes = lengthBytes
        self.remoteAddress = remoteAddress
        self.remoteKey = remoteKey
    }

    fileprivate var plain: memkv_rdma_work {
        let number =
            switch kind {
            case .send: UInt32(MEMKV_RDMA_SEND)
            case .read: UInt32(MEMKV_RDMA_READ)
            case .write: UInt32(MEMKV_RDMA_WRITE)
            }
        return memkv_rdma_work(
            work_id: workID, local_address: localAddress, remote_address: remoteAddress,
            local_key: localKey, remote_key: remoteKey, bytes: lengthBytes, kind: number,
            is_signalled: isSignalled)
    }
}

/// A listener or a connection.
@safe
package final class RDMAConnection: @unchecked Sendable {
    // Sendable because one thread at a time has it, as the head of this file says.
    private let identifier: OpaquePointer
    private let events: ConnectionEvents
    /// Kept for what the queue pair uses.
    private var domain: ProtectionDomain?
    private var queue: CompletionQueue?
    private var isEnded = false

    /// Most work that `post` takes at once.
    package static let postLimit = MEMKV_RDMA_POST_LIMIT

    /// One that isn't connected to anything yet.
    package init(_ events: ConnectionEvents) throws(VerbsError) {
        guard let identifier = unsafe memkv_rdma_make_id(events.channel) else {
            throw .last("to make a connection's identifier")
        }
        unsafe self.identifier = identifier
        self.events = events
    }

    /// The connection that `request` asks for, to be accepted or rejected. Once for each request.
    package init(request: ConnectionEvent, of events: ConnectionEvents) {
        precondition(request.kind == .request, "an event that asks for no connection")
        unsafe identifier = request.connection.identifier
        self.events = events
    }

    deinit { end() }

    package var name: ConnectionName { unsafe ConnectionName(identifier) }

    /// Whether it is bound or resolved to an address of `device`.
    package func isOn(_ device: RDMADevice) -> Bool {
        unsafe memkv_rdma_id_device(identifier) == device.context
    }

    /// The other end; nil when it has no IP address.
    package var peer: RDMAAddress? {
        var bytes = [UInt8](repeating: 0, count: RDMAAddress.byteCount)
        guard unsafe memkv_rdma_peer_address(identifier, &bytes) == 0 else { return nil }
        return RDMAAddress(bytes: bytes)
    }

    /// Ends its queue pair alone, whose other end isn't told: nothing is posted on it any more.
    /// May block.
    package func endQueuePair() {
        if isEnded { return }
        unsafe memkv_rdma_free_queue_pair(identifier)
        queue = nil
        domain = nil
    }

    /// Ends it and its queue pair. May block.
    package func end() {
        if isEnded { return }
        isEnded = true
        unsafe memkv_rdma_free_id(identifier)
        queue = nil
        domain = nil
    }

    // MARK: - Coming to a connection

    /// Listens on an address of a device; 0 lets the kernel choose the port, which is returned.
    package func listen(
        on address: RDMAAddress, port: UInt16, backlog: Int
    ) throws(VerbsError) -> UInt16 {
        let result = unsafe memkv_rdma_listen(identifier, address.bytes, port, Int32(backlog))
        guard result >= 0 else { throw VerbsError("to listen on \(address) for RDMA", result) }
        return UInt16(result)
    }

    /// Looks for the way to `target`, from `source` if that is given: `addressResolved` follows.
    package func resolveAddress(
        _ target: RDMAAddress, port: UInt16, from source: RDMAAddress? = nil, milliseconds: Int
    ) throws(VerbsError) {
        let result =
            if let source {
                unsafe memkv_rdma_resolve_address(
                    identifier, source.bytes, target.bytes, port, Int32(milliseconds))
            } else {
                unsafe memkv_rdma_resolve_address(
                    identifier, nil, target.bytes, port, Int32(milliseconds))
            }
        try Self.check(result, "to resolve \(target)")
    }

    /// `routeResolved` follows.
    package func resolveRoute(milliseconds: Int) throws(VerbsError) {
        try Self.check(
            unsafe memkv_rdma_resolve_route(identifier, Int32(milliseconds)),
            "to find a route")
    }

    /// Makes the queue pair: after `addressResolved`, or of a request. Receives may be posted then.
    /// May block.
    package func makeQueuePair(
        in domain: ProtectionDomain, completingTo queue: CompletionQueue,
        lengths: QueuePairLengths
    ) throws(VerbsError) {
        var plain = memkv_rdma_queue_pair(
            sends: UInt32(lengths.sends), receives: UInt32(lengths.receives))
        try Self.check(
            unsafe memkv_rdma_make_queue_pair(identifier, domain.domain, queue.queue, &plain),
            "to make a queue pair on device \(domain.device.name)")
        self.domain = domain
        self.queue = queue
    }

    /// After `routeResolved`: `established`, `rejected` or `failed` follows.
    package func connect(_ agreement: ConnectionAgreement) throws(VerbsError) {
        unsafe try agree(agreement, "to connect") { unsafe memkv_rdma_connect(identifier, &$0) }
    }

    /// Of a request whose queue pair is made: `established` or `failed` follows.
    package func accept(_ agreement: ConnectionAgreement) throws(VerbsError) {
        unsafe try agree(agreement, "to accept a connection") {
            unsafe memkv_rdma_accept(identifier, &$0)
        }
    }

    /// Of a request. What the other end made of it isn't told.
    package func reject(privateData: [UInt8] = []) {
        _ = unsafe memkv_rdma_reject(identifier, privateData, UInt8(privateData.count))
    }

    /// Tells the other end and has all work end with `isFlushed`; `disconnected` follows.
    package func disconnect() { _ = unsafe memkv_rdma_disconnect(identifier) }

    private func agree(
        _ agreement: ConnectionAgreement, _ attempt: String,
        _ call: (inout memkv_rdma_agreement) -> Int32
    ) throws(VerbsError) {
        let result = unsafe agreement.privateData.withUnsafeBufferPointer { data in
            var plain = unsafe memkv_rdma_agreement(
                private_data: data.baseAddress, private_bytes: UInt8(data.count),
                reads_accepted: agreement.readsAccepted,
                reads_in_flight: agreement.readsInFlight)
            return unsafe call(&plain)
        }
        try Self.check(result, attempt)
    }

    private static func check(_ result: Int32, _ attempt: String) throws(VerbsError) {
        guard result == 0 else { throw VerbsError(attempt, result) }
    }

    // MARK: - Work

    /// Posts the first `count` of `work`, `postLimit` at most, in one call. The memory is the
    /// device's until the work has completed, or a later one of the same queue pair has.
    @unsafe
    package func post<let limit: Int>(
        _ work: borrowing InlineArray<limit, RDMAWork>, count: Int
    ) throws(VerbsError) {
        precondition(count <= Self.postLimit && count <= limit, "\(count) pieces of work at once")
        var posted: Int32 = 0
        var plain = InlineArray<16, memkv_rdma_work>(repeating: memkv_rdma_work())
        for index in 0..<count { plain[index] = work[index].plain }
        let result = unsafe plain.span.withUnsafeBufferPointer { list in
            unsafe memkv_rdma_post(identifier, list.baseAddress, Int32(count), &posted)
        }
        try Self.check(result, "to post work")
    }

    /// Has the next message received at `memory`, which is the device's until the receive has
    /// completed.
    @unsafe
    package func postReceive(
        into memory: UnsafeMutableRawBufferPointer, localKey: UInt32, workID: UInt64
    ) throws(VerbsError) {
        try Self.check(
            unsafe memkv_rdma_post_receive(
                identifier, workID, memory.baseAddress, UInt32(memory.count), localKey),
            "to post a receive")
    }
}

#endif
