// ConnectionEvents: librdmacm's news of connections, and a descriptor to wait for them.
//
// Always holds: an event is acknowledged when it is taken, so ending a connection never waits for
// one; the channel outlives its connections.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import CVerbs
internal import Glibc

/// Something that happened to a connection or a listener.
package struct ConnectionEvent: Sendable {
    package enum Kind: Hashable, Sendable {
        case addressResolved, routeResolved
        /// Somebody asks for a connection; it is taken with `RDMAConnection.init(request:)`.
        case request
        case established
        case rejected
        /// What was begun has failed: no address, no route, nobody there.
        case failed
        case disconnected
        /// The device is gone; the connection or listener must be ended.
        case deviceRemoved
        case other
    }

    package let kind: Kind
    /// Whose event it is; for a request, the new connection's.
    package let connection: ConnectionName
    /// librdmacm's: a negative errno, or the reason of a rejection.
    package let status: Int
    /// What the other end sent along; zeros may follow it.
    package let privateData: [UInt8]
    /// RDMA reads that may be in flight: accepted at this end, begun by this end.
    package let readsAccepted: UInt8
    package let readsInFlight: UInt8
}

/// Tells connections apart, as long as they live.
@safe
package struct ConnectionName: Hashable, @unchecked Sendable {
    // Sendable because it is only compared, until one connection is made of it.
    let identifier: OpaquePointer

    init(_ identifier: OpaquePointer) { unsafe self.identifier = identifier }

    package static func == (left: ConnectionName, right: ConnectionName) -> Bool {
        unsafe left.identifier == right.identifier
    }

    package func hash(into hasher: inout Hasher) { unsafe hasher.combine(identifier) }
}

/// A channel of events.
@safe
package final class ConnectionEvents: @unchecked Sendable {
    // Sendable because it is immutable, and librdmacm may be called by several threads at once.
    let channel: OpaquePointer

    package init() throws(VerbsError) {
        guard let channel = unsafe memkv_rdma_make_event_channel() else {
            throw .last("to open the kernel's connection manager (/dev/infiniband/rdma_cm)")
        }
        unsafe self.channel = channel
    }

    deinit { unsafe memkv_rdma_free_event_channel(channel) }

    /// Readable when there is an event.
    package var descriptor: Int32 { unsafe memkv_rdma_event_descriptor(channel) }

    /// The next event; nil when there is none now.
    package func next() throws(VerbsError) -> ConnectionEvent? {
        var event = unsafe memkv_rdma_event()
        let result = unsafe memkv_rdma_next_event(channel, &event)
        if result == -EAGAIN || result == -EINTR { return nil }
        guard result == 0, let identifier = unsafe event.id else {
            throw VerbsError("to take an event of a connection", result)
        }
        let data = unsafe withUnsafeBytes(of: event.private_data) {
            unsafe Array($0.prefix(Int(event.private_bytes)))
        }
        return unsafe ConnectionEvent(
            kind: Self.kind(event.kind), connection: ConnectionName(identifier),
            status: Int(event.status), privateData: data, readsAccepted: event.reads_accepted,
            readsInFlight: event.reads_in_flight)
    }

    private static func kind(_ number: UInt32) -> ConnectionEvent.Kind {
        switch Int(number) {
        case MEMKV_RDMA_EVENT_ADDRESS_RESOLVED: .addressResolved
        case MEMKV_RDMA_EVENT_ROUTE_RESOLVED: .routeResolved
        case MEMKV_RDMA_EVENT_REQUEST: .request
        case MEMKV_RDMA_EVENT_ESTABLISHED: .established
        case MEMKV_RDMA_EVENT_REJECTED: .rejected
        case MEMKV_RDMA_EVENT_FAILED: .failed
        case MEMKV_RDMA_EVENT_DISCONNECTED: .disconnected
        case MEMKV_RDMA_EVENT_DEVICE_REMOVED: .deviceRemoved
        default: .other
        }
    }
}

#endif
