// SimulatedNetwork: what lies between clients and the server: latency, bandwidth, pieces of any
// size, resets, partitions.
//
// Always holds: what happens to a connection's bytes is decided when they are sent, from streams of
// its own; an arrival is an event of the world. A partition holds back what would arrive and hands
// it over when it ends, as TCP's repetitions would.

internal import Client
internal import Engine
internal import Sim
internal import Wire

/// What the network does to one client.
struct LinkState {
    var holdsToServer = false
    var holdsToClient = false
    /// Latency in percent of what it should be.
    var latencyPercent: UInt64 = 100
    /// Bytes that the client may still read before its next turn; nil for a client that reads as
    /// fast as it can.
    var readAllowance: Int?
}

/// The network.
final class SimulatedNetwork {
    let shape: NetworkShape
    unowned let world: World
    private var random: RandomStream
    private var pieceRandom: RandomStream
    private var nonces: RandomStream
    private(set) var connections: [SimulatedConnection] = []
    var links: [LinkState]
    private var nextNumber = 0
    /// Queue pairs that clients have begun.
    var queuePairCount = 0
    /// Connections that were reset by a fault.
    private(set) var resets: UInt64 = 0
    private(set) var openings: UInt64 = 0
    /// Connections of each client that nobody took.
    private(set) var refusals: [UInt64]
    private(set) var heldArrivals: UInt64 = 0
    private(set) var splitSends: UInt64 = 0
    private(set) var bytesMoved: UInt64 = 0
    /// What the first client sent, from its first byte on: what a stranger may have recorded.
    private(set) var overheard: [UInt8] = []
    private let latency: Drawn
    private let piecesPercent: UInt64

    init(shape: NetworkShape, world: World, clients: Int, seed: UInt64) {
        self.shape = shape
        self.world = world
        random = RandomStream(seed: seed, name: "network")
        pieceRandom = RandomStream(seed: seed, name: "network pieces")
        nonces = RandomStream(seed: seed, name: "nonces")
        latency = shape.latencyMicroseconds
        piecesPercent = shape.piecesPercent.draw(from: &random)
        links = Array(repeating: LinkState(), count: clients)
        refusals = Array(repeating: 0, count: clients)
    }

    func drawNonce() -> Nonce {
        Nonce(words: [nonces.next(), nonces.next(), nonces.next(), nonces.next()])
    }

    // MARK: Opening

    /// A connection on its way to the server. Hostile ones are nobody's client.
    func open(from client: Int, isHostile: Bool) -> SimulatedConnection {
        let connection = SimulatedConnection(
            number: nextNumber, client: isHostile ? -1 : client, network: self)
        nextNumber += 1
        openings += 1
        connections.append(connection)
        world.schedule(.opened(connection), after: latencyOf(connection.client) * 2)
        return connection
    }

    /// The opening's answer is due.
    func finishOpening(_ connection: SimulatedConnection) {
        guard !connection.isClosed, connection.opening == .pending else { return }
        if isHeld(connection, .toServer) || isHeld(connection, .toClient) {
            // Its SYN is sent again until somebody answers.
            world.schedule(.opened(connection), after: 200_000)
            return
        }
        if world.server.accept(connection) {
            connection.opening = .open
            world.sim.note(.connected, UInt64(connection.number), 0, 0)
            speak(connection)
        } else {
            connection.opening = .failed(.refused)
            if connection.client >= 0 { refusals[connection.client] += 1 }
            forget(connection)
        }
        world.wake(connection.client)
    }

    /// A stranger says what it came for.
    private func speak(_ connection: SimulatedConnection) {
        guard connection.client < 0, !connection.greeting.isEmpty else { return }
        connection.toServer.bytes.append(connection.greeting)
        sent(connection.greeting.count, over: connection, .toServer)
        if connection.closesAfterGreeting { connection.close() }
    }

    /// Somebody on the line says again, inside a client's connection, what its first client said.
    func inject() {
        let open = connections.filter { $0.client >= 0 && $0.opening == .open && !$0.isClosed }
        guard !open.isEmpty, overheard.count >= FrameHeader.byteCount else { return }
        let connection = open[Int(random.below(UInt64(open.count)))]
        let start = Int(random.below(UInt64(overheard.count)))
        let piece = Array(overheard[start..<min(overheard.count, start + 512)])
        guard connection.toServer.room >= piece.count else { return }
        connection.toServer.bytes.append(piece)
        sent(piece.count, over: connection, .toServer)
    }

    // MARK: Bytes

    /// `count` bytes were put into one direction.
    func sent(_ count: Int, over connection: SimulatedConnection, _ direction: Direction) {
        bytesMoved += UInt64(count)
        if direction == .toServer, connection.client == 0, overheard.count < 64 << 10 {
            overheard += connection.toServer.bytes.last(count)
        }
        var left = count
        if left > 1, piecesPercent > 0, pieceRandom.chance(percent: piecesPercent) {
            let first = 1 + Int(pieceRandom.below(UInt64(left - 1)))
            splitSends += 1
            deliver(first, over: connection, direction)
            left -= first
        }
        deliver(left, over: connection, direction)
    }

    private func deliver(_ count: Int, over connection: SimulatedConnection, _ way: Direction) {
        let arrival = arrivalTime(of: count, over: connection, way)
        world.schedule(.arrival(connection, way, count, ends: false), at: arrival)
    }

    private func arrivalTime(
        of count: Int, over connection: SimulatedConnection, _ way: Direction
    ) -> Instant {
        let pipe = way == .toServer ? connection.toServer : connection.toClient
        let started = max(world.now, pipe.freeAt)
        let rate = max(1, shape.bytesPerMicrosecond)
        let free = started.advanced(byMicroseconds: UInt64(count) / rate)
        let arrival = max(
            pipe.lastArrival, free.advanced(byMicroseconds: latencyOf(connection.client)))
        if way == .toServer {
            connection.toServer.freeAt = free
            connection.toServer.lastArrival = arrival
        } else {
            connection.toClient.freeAt = free
            connection.toClient.lastArrival = arrival
        }
        return arrival
    }

    private func latencyOf(_ client: Int) -> UInt64 {
        let drawn = latency.draw(from: &random)
        return client < 0 ? drawn : drawn * links[client].latencyPercent / 100
    }

    private func isHeld(_ connection: SimulatedConnection, _ way: Direction) -> Bool {
        guard connection.client >= 0 else { return false }
        let link = links[connection.client]
        return way == .toServer ? link.holdsToServer : link.holdsToClient
    }

    /// Bytes are due, or the end of them.
    func arrive(
        _ connection: SimulatedConnection, _ way: Direction, _ count: Int, ends: Bool
    ) {
        if connection.isReset { return }
        if isHeld(connection, way) {
            heldArrivals += 1
            connection.held.append((way, count, ends))
            return
        }
        world.sim.note(
            .arrived, UInt64(connection.number), UInt64(count),
            UInt64(way.rawValue) | (ends ? 2 : 0))
        switch way {
        case .toServer:
            connection.toServer.arrived += count
            if ends { connection.toServer.isEnded = true }
            connection.sessions?.bytesCame(connection.session)
        case .toClient:
            connection.toClient.arrived += count
            if ends { connection.toClient.isEnded = true }
            // Bytes for a socket that is closed are answered with a reset, as TCP does.
            if connection.isClosed, count > 0 {
                world.schedule(.reset(connection), after: latencyOf(connection.client))
            }
            world.wake(connection.client)
        }
    }

    /// A partition has ended for `client`: what was held back arrives.
    func release(_ client: Int) {
        for connection in connections where connection.client == client {
            let held = connection.held
            connection.held = []
            for arrival in held {
                arrive(connection, arrival.direction, arrival.count, ends: arrival.ends)
            }
        }
    }

    // MARK: Ends

    /// The server sends nothing more.
    func serverEnds(_ connection: SimulatedConnection) {
        guard !connection.toClient.isEnding else { return }
        connection.toClient.isEnding = true
        let arrival = arrivalTime(of: 0, over: connection, .toClient)
        world.schedule(.arrival(connection, .toClient, 0, ends: true), at: arrival)
    }

    /// The server has closed: nothing more is exchanged.
    func serverCloses(_ connection: SimulatedConnection) {
        serverEnds(connection)
        connection.sessions = nil
        world.schedule(.reset(connection), at: connection.toClient.lastArrival)
    }

    func clientClosed(_ connection: SimulatedConnection) {
        guard !connection.isReset, connection.sessions != nil else {
            connection.isReset = true
            forget(connection)
            return
        }
        guard !connection.toServer.isEnding else { return }
        connection.toServer.isEnding = true
        let arrival = arrivalTime(of: 0, over: connection, .toServer)
        world.schedule(.arrival(connection, .toServer, 0, ends: true), at: arrival)
    }

    /// Both ends learn that the connection is gone; what was on its way is lost, but for a part
    /// that `random` decides.
    func reset(_ connection: SimulatedConnection, byFault: Bool) {
        guard !connection.isReset else { return }
        if byFault {
            resets += 1
            let travelling = connection.toServer.travelling
            if travelling > 0, !isHeld(connection, .toServer) {
                let part = Int(random.below(UInt64(travelling) + 1))
                connection.toServer.arrived += part
                connection.sessions?.bytesCame(connection.session)
            }
        }
        connection.isReset = true
        world.sim.note(.disconnected, UInt64(connection.number), byFault ? 1 : 0, 0)
        connection.sessions?.connectionBroke(connection.session)
        connection.sessions = nil
        if connection.opening == .pending { connection.opening = .failed(.refused) }
        forget(connection)
        world.wake(connection.client)
    }

    /// The server's machine is another one now: every connection is gone.
    func resetAll() {
        for connection in connections { reset(connection, byFault: false) }
    }

    /// Resets a connection of `client` (of any, when negative) that `random` picks; false when
    /// there is none.
    func resetOne(of client: Int) -> Bool {
        let open = connections.filter {
            $0.opening == .open && (client < 0 || $0.client == client)
        }
        guard !open.isEmpty else { return false }
        reset(open[Int(random.below(UInt64(open.count)))], byFault: true)
        return true
    }

    private func forget(_ connection: SimulatedConnection) {
        connections.removeAll { $0 === connection }
    }

    // MARK: Slow readers

    func takeLimit(of client: Int) -> Int {
        client < 0 ? .max : links[client].readAllowance ?? .max
    }

    func noteTaken(_ count: Int, by client: Int) {
        guard client >= 0, let allowance = links[client].readAllowance else { return }
        links[client].readAllowance = allowance - count
    }
}
