// SimulatedConnection: one TCP connection between a client and a server, byte by byte.
//
// Always holds: in each direction bytes arrive in order, each once, until the connection is reset;
// a reset loses what hasn't arrived. A direction that is full takes no more until the other end has
// read: that is the backpressure. What a client's process does is seen by the server after the
// bytes it had sent.

internal import Client
internal import Engine
internal import Sim
internal import Wire

/// One direction.
struct Pipe {
    /// Bytes that one direction holds at most, on the wire and in both ends' buffers.
    static let capacity = 512 << 10

    var bytes = ByteQueue()
    /// How many of them have reached the other end.
    var arrived = 0
    /// How many are on their way.
    var travelling: Int { bytes.count - arrived }
    /// When the wire has taken everything sent so far.
    var freeAt = Instant(nanoseconds: 0)
    /// When the last byte sent will have arrived.
    var lastArrival = Instant(nanoseconds: 0)
    /// The sender sends nothing more, and the receiver knows it.
    var isEnding = false
    var isEnded = false
    var room: Int { Self.capacity - bytes.count }
}

/// Which way.
enum Direction: UInt8 { case toServer, toClient }

/// One connection; to its client a stream.
final class SimulatedConnection: ClientStream {
    let number: Int
    let client: Int
    unowned let network: SimulatedNetwork
    var opening = OpeningProgress.pending
    var toServer = Pipe()
    var toClient = Pipe()
    /// Both ends see a failure from now on.
    var isReset = false
    /// The client's end is closed.
    var isClosed = false
    /// Who serves it, from its acceptance on.
    var sessions: SimulatedSessions?
    var session = -1
    /// What a stranger says as soon as it is let in.
    var greeting: [UInt8] = []
    var closesAfterGreeting = false
    /// Held back by a partition, in the order in which they would have arrived.
    var held: [(direction: Direction, count: Int, ends: Bool)] = []

    init(number: Int, client: Int, network: SimulatedNetwork) {
        self.number = number
        self.client = client
        self.network = network
    }

    // MARK: ClientStream

    func send(_ bytes: SourceBytes, more: Bool) -> SocketProgress {
        if isReset { return .failed("connection reset") }
        let count = min(bytes.count, toServer.room)
        guard count > 0 else { return .wouldBlock }
        toServer.bytes.append(count == bytes.count ? bytes : bytes.slice(from: 0, count: count))
        network.sent(count, over: self, .toServer)
        return .moved(count)
    }

    func receive(into bytes: DestinationBytes) -> SocketProgress {
        guard toClient.arrived > 0 else {
            if isReset { return .failed("connection reset") }
            return toClient.isEnded ? .closed : .wouldBlock
        }
        let limit = network.takeLimit(of: client)
        let count = min(bytes.count, toClient.arrived, limit)
        guard count > 0 else { return .wouldBlock }
        let wasFull = toClient.room == 0
        toClient.bytes.take(count, into: bytes)
        toClient.arrived -= count
        network.noteTaken(count, by: client)
        if wasFull || toClient.bytes.count < Pipe.capacity / 2 { sessions?.roomCame(session) }
        return .moved(count)
    }

    func close() {
        isClosed = true
        network.clientClosed(self)
    }
}

/// A client's way into the network.
struct ClientPort: ClientTransport {
    let client: Int
    let network: SimulatedNetwork

    func open(to server: ServerAddress) -> SimulatedConnection {
        network.open(from: client, isHostile: false)
    }

    func drawNonce() -> Nonce { network.drawNonce() }

    func queuePairProblem() -> ConnectError? { nil }

    func openQueuePair(_ offer: QueuePairOffer, keys: QueuePairKeys) -> SimulatedQueuePair {
        network.openQueuePair(from: client, offer, keys, as: .client)
    }
}
