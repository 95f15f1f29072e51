// The client core's port: streams of bytes to servers. The sockets of this machine are one, a
// simulated network is another.
//
// Always holds: nothing here waits. Bytes leave and arrive in order, each once, until the stream
// fails or is closed; a stream that has failed stays so. Time isn't part of the port: it enters by
// the core's `step(now:)`.

package import Wire

/// Something that takes and gives bytes as far as it can now.
package protocol ByteStream: ~Copyable {
    /// Takes some of `bytes`. `more` says that the frame goes on after them.
    borrowing func send(_ bytes: SourceBytes, more: Bool) -> SocketProgress
    /// Fills some of `bytes` with what has arrived.
    borrowing func receive(into bytes: DestinationBytes) -> SocketProgress
}

/// How far the opening of a stream has come.
package enum OpeningProgress: Hashable, Sendable {
    case pending
    case open
    case failed(ConnectError)
}

/// One connection to a server, from the moment its opening begins.
package protocol ClientStream: AnyObject, ByteStream {
    var opening: OpeningProgress { get }
    /// Gives it up in whatever state it is; called once, and nothing after it.
    func close()
}

/// Where the core's streams come from.
package protocol ClientTransport {
    associatedtype Stream: ClientStream
    associatedtype QueuePair: ClientQueuePair = NoQueuePair
    /// Begins to connect; the stream's `opening` tells the rest.
    mutating func open(to server: ServerAddress) -> Stream
    /// For a new session with a key: what nobody can guess, and never twice the same.
    mutating func drawNonce() -> Nonce
    /// Why no queue pair to any server can be had at present; nil when nothing stands against it.
    mutating func queuePairProblem() -> ConnectError?
    /// Begins to connect a queue pair as a server has offered it; its `opening` tells the rest.
    mutating func openQueuePair(_ offer: QueuePairOffer, keys: QueuePairKeys) -> QueuePair
}
