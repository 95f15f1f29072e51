// SessionFailure: why a connection can't be used any more. Every failure ends the session; none is
// repaired.

package import Wire

/// The end of a connection.
package enum SessionFailure: Error, Hashable, Sendable {
    /// The server closed it between two responses.
    case closedByServer
    /// The server closed it inside a response.
    case closedInsideResponse
    /// The socket failed, with the system's sentence for it.
    case socket(String)
    /// The server sent something that is no response to what was asked.
    case malformedResponse(String)
    /// The server took no bytes until a deadline passed in the middle of a frame.
    case stalledInsideRequest
    /// The server answered Connect with a refusal.
    case connectRefused(Status)
    /// The server didn't show that it has the client's key.
    case wrongServerProof
    /// A response whose tag is wrong: not from the server, or changed on its way.
    case forgedResponse
    /// No answer to Connect until its deadline.
    case connectTimedOut
    /// The server let a deadline pass and answered nothing at all.
    case noAnswer
    /// The server gives no queue pair, with its reason; `unsupported` or `unavailable`.
    case queuePairRefused(Status, String)
    /// Whoever accepted the queue pair isn't the server of the session.
    case wrongGreeting
    /// The queue pair failed, with a sentence for it.
    case queuePair(String)
    /// A request ended by its deadline while the server might still write to its memory.
    case lateWrites
    /// This side closed it.
    case closedByClient
}

extension SessionFailure: CustomStringConvertible {
    package var description: String {
        switch self {
        case .closedByServer: "the server closed the connection"
        case .closedInsideResponse: "the server closed the connection inside a response"
        case .socket(let sentence): "the connection failed: \(sentence)"
        case .malformedResponse(let what): "the server sent a malformed response: \(what)"
        case .stalledInsideRequest: "the server took no more bytes of a request until its deadline"
        case .connectRefused(.unsupportedVersion):
            "the server speaks another version of the protocol; use a client of its version"
        case .connectRefused(.unauthenticated):
            "the server asks for a key that it knows"
        case .wrongServerProof: "the server doesn't have the key; is it the right server?"
        case .forgedResponse:
            "a response's tag is wrong: it was changed on its way, or isn't from the server"
        case .connectRefused(let status): "the server refused the session: \(status)"
        case .connectTimedOut: "the server accepted the connection and didn't answer in time"
        case .noAnswer: "the server takes requests and answers none"
        case .queuePairRefused(let status, let reason):
            "the server offers no RDMA: " + (reason.isEmpty ? "\(status)" : reason)
        case .wrongGreeting:
            "whoever accepted the RDMA connection isn't the server that offered it"
        case .queuePair(let sentence): "the RDMA connection failed: \(sentence)"
        case .lateWrites: "a read over RDMA wasn't answered by its deadline"
        case .closedByClient: "the client was closed"
        }
    }
}
