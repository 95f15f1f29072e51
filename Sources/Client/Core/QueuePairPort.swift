// The core's port for RDMA: queue pairs to servers, and memory that a server may reach through one.
// librdmacm's are one kind, simulated ones another; a transport without any has `NoQueuePair`.
//
// Always holds: nothing here waits but `close`, which returns when the server can't reach this
// side's memory any more. A message is sent and received whole, in order, until the queue pair
// fails or is closed; one that has failed stays so.

package import Wire

/// Memory that a server may reach: until the last copy of this is gone.
package struct Exposure: Sendable {
    /// One for each piece of memory.
    package let segments: [RemoteSegment]
    private let registrations: [any AnyObject & Sendable]

    package init(segments: [RemoteSegment], registrations: [any AnyObject & Sendable]) {
        self.segments = segments
        self.registrations = registrations
    }
}

/// One queue pair, from the moment its connecting begins.
package protocol ClientQueuePair: AnyObject {
    /// Open once the server has shown that it is the one that offered it. Changes only while the
    /// transport waits: all of a step sees the same.
    var opening: OpeningProgress { get }
    /// Whether a message can be taken now.
    var maySend: Bool { get }
    /// Sends one message, given as little-endian words.
    func send(_ words: [UInt64]) throws(SessionFailure)
    /// The next message that has arrived; nil when there is none now.
    func receive() throws(SessionFailure) -> [UInt64]?
    /// Lets the server reach `memory`, for reading or for writing.
    func expose(_ memory: [ValueMemory]) throws(SessionFailure) -> Exposure
    /// Gives it up in whatever state it is; called once, and nothing after it.
    func close()
}

/// The queue pair of transports that have none.
package final class NoQueuePair: ClientQueuePair {
    package var opening: OpeningProgress { .failed(.noDevice(Self.reason)) }
    package var maySend: Bool { false }
    package func send(_ words: [UInt64]) throws(SessionFailure) { throw .queuePair(Self.reason) }
    package func receive() throws(SessionFailure) -> [UInt64]? { throw .queuePair(Self.reason) }
    package func expose(_ memory: [ValueMemory]) throws(SessionFailure) -> Exposure {
        throw .queuePair(Self.reason)
    }
    package func close() {}

    static let reason = "this program is built without RDMA (the package trait Verbs)"
}

extension ClientTransport where QueuePair == NoQueuePair {
    package mutating func queuePairProblem() -> ConnectError? { .noDevice(NoQueuePair.reason) }

    package mutating func openQueuePair(
        _ offer: QueuePairOffer, keys: QueuePairKeys
    ) -> NoQueuePair { NoQueuePair() }
}
