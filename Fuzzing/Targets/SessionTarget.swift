// session: the server's receiving and sending code over connections whose bytes come cut anywhere,
// with an engine that answers in any order.
//
// Always holds, or the run traps: every request that reaches the engine is, byte for byte, the next
// frame of its connection's stream, had come whole and, where a key is asked for, was signed by who
// has it; every byte sent belongs to a well-formed
// response; at the end, with all connections gone, no request entry, slab or session is in use.
//
//   input   [what the server asks of clients]
//           [action: low four bits, connection: high four][its arguments]…

import Engine
import Glibc
import Ring
import Wire

@testable import IOUring

enum SessionTarget {
    static func run(_ input: inout FuzzInput) {
        let world = SessionWorld(
            SessionKeys.Demand(rawValue: input.below(3)) ?? .none)
        var actions = 0
        while !input.isEmpty, actions < 400 {
            world.act(&input)
            actions += 1
        }
        world.end()
    }
}

/// One shard's transport, its kernel, its clients and its engine.
final class SessionWorld {
    /// An action's number in the input.
    enum Action: UInt8 {
        case connect, bytes, frame, greet, deliver, deliverAll, endStream, failReceive
        case endSend, take, respond, passTime, failAccept, closeAll, echo, stopListening
    }

    private static let configuration: TransportConfiguration = {
        var limits = SessionLimits()
        limits.sessions = 3
        limits.sessionsPerAddress = 2
        limits.requests = 4
        limits.requestsPerSession = 2
        limits.bytesPerSession = 24 << 10
        limits.payloadLimitBytes = 12 << 10
        return TransportConfiguration(limits: limits)
    }()
    private static let slabCount: UInt64 = 8
    private static let slabBytes: UInt64 = 4096
    private static let transportBytes = configuration.memoryBytes.roundedUp(to: ByteCount(4096))
    private static let arena = FuzzMemory.arena(
        byteCount: Int(transportBytes.rawValue + slabCount * slabBytes))
    private static let listener: TCPListener = {
        do {
            return try TCPListener(address: "127.0.0.1", port: 0)
        } catch { fatalError("\(error)") }
    }()
    private static let counters = TransportCounters()
    /// Connections that one input may make.
    private static let peerLimit = 12

    let shard: ShardRing
    let transport: TCPTransport
    let pool: SlabPool
    var peers: [Peer] = []
    private let demand: SessionKeys.Demand
    private let keys: ServerKeys
    private var held: [Request] = []
    /// The frame of each request entry, for requests that the transport takes back.
    private var handedOver: [Int: SentFrame] = [:]
    private var time: UInt64 = 1_000_000_000
    private var hasTimePassed = false

    init(_ demand: SessionKeys.Demand) {
        self.demand = demand
        keys = ServerKeys(
            demand == .none ? [] : SessionKeys.scoped, tagsPayloads: demand == .keyAndPayloadTags)
        MonotonicClock.set(nanoseconds: time)
        let arena = Self.arena
        let range = ArenaRange(start: ArenaOffset(0), length: Self.transportBytes)
        arena.zero(range)
        pool = SlabPool(
            arena: arena,
            region: ArenaRange(
                start: ArenaOffset(Self.transportBytes.rawValue),
                length: ByteCount(Self.slabCount * Self.slabBytes)),
            slabBytes: ByteCount(Self.slabBytes))
        do throws(RingError) {
            shard = try ShardRing(arena: arena, inFlightLimit: 64)
        } catch { fatalError("\(error)") }
        transport = TCPTransport(
            shard: shard, listener: Self.listener, configuration: Self.configuration,
            budget: TransportBudget(configuration: Self.configuration, slabs: pool, seed: 1),
            range: range, slabs: pool, counters: Self.counters,
            greeting: ConnectResponse(
                version: FrameHeader.version, batchLimit: BodyLayout.batchLimit,
                bodyLimitBytes: BodyLayout.bodyLimitBytes,
                payloadLimitBytes: Self.configuration.limits.payloadLimitBytes,
                valueLimitBytes: 4096,
                requestsInFlight: 2, storeID: [1, 2]), keys: keys)
        transport.startListening()
    }

    func act(_ input: inout FuzzInput) {
        let byte = input.byte()
        guard let action = Action(rawValue: byte & 15) else { return }
        switch action {
        case .connect: connect()
        case .failAccept: failAccept(input.byte())
        case .take: take()
        case .respond: respond(&input)
        case .echo: echo()
        case .passTime: passTime(milliseconds: input.number(bytes: 2) * 4)
        case .closeAll: endSessions(input.byte())
        case .stopListening: if input.byte() == 0xC1 { transport.stopListening() }
        case .bytes, .frame, .greet, .deliver, .deliverAll, .endStream, .failReceive, .endSend:
            guard !peers.isEmpty else { break }
            act(action, peer: Int(byte >> 4) % peers.count, &input)
        }
        shard.enter(wait: false)
    }

    private func act(_ action: Action, peer: Int, _ input: inout FuzzInput) {
        switch action {
        case .bytes: peers[peer].write(input.take(Int(input.byte())))
        case .frame: peers[peer].writeFrame(&input)
        case .greet: peers[peer].greet(input.byte())
        case .deliver: deliver(peer, limit: Int(input.byte()) << input.below(8))
        case .deliverAll: deliver(peer, limit: .max)
        case .endStream: endStream(peer)
        case .failReceive:
            let errors = [ECONNRESET, EINTR, EAGAIN, ETIMEDOUT]
            complete(.receive, peer, result: -errors[input.below(4)])
        case .endSend: endSend(peer, input.byte())
        default: break
        }
    }

    // MARK: The kernel

    private func place(of actions: [RingSubmission.Action], peer: Int) -> Int? {
        shard.ring.submissions.firstIndex {
            actions.contains($0.action) && $0.descriptor == peers[peer].descriptor
        }
    }

    private func complete(_ action: RingSubmission.Action, _ peer: Int, result: Int32) {
        let actions: [RingSubmission.Action] =
            action == .receive ? [.receive, .receiveWhole] : [action]
        guard let place = place(of: actions, peer: peer) else { return }
        shard.ring.complete(place, result: result)
    }

    /// Ends them all, or those whose key goes, or those without one.
    private func endSessions(_ choice: UInt8) {
        switch choice {
        case 0xC1: transport.closeSessions()
        case 0xC2: if demand != .none { keys.replace(with: [SessionKeys.scoped[0]]) }
        default: break
        }
    }

    private func connect() {
        guard peers.count < Self.peerLimit,
            let place = shard.ring.submissions.firstIndex(where: { $0.action == .accept })
        else { return }
        // Descriptors that no process has: closing one does nothing.
        let peer = Peer(
            descriptor: 1_000_000 + Int32(peers.count),
            tagsPayloads: demand == .keyAndPayloadTags)
        peers.append(peer)
        shard.ring.complete(place, result: peer.descriptor, hasMore: true)
    }

    private func failAccept(_ byte: UInt8) {
        guard let place = shard.ring.submissions.firstIndex(where: { $0.action == .accept })
        else { return }
        let errors = [EMFILE, ENOMEM, ECONNABORTED, EINTR]
        shard.ring.complete(place, result: -errors[Int(byte & 3)], hasMore: byte & 4 != 0)
    }

    private func deliver(_ peer: Int, limit: Int) {
        guard let place = place(of: [.receive, .receiveWhole], peer: peer) else { return }
        let submission = shard.ring.submissions[place]
        let bytes = peers[peer].undelivered.prefix(min(limit, submission.byteCount))
        guard !bytes.isEmpty else { return }
        submission.fill(bytes)
        peers[peer].delivered += bytes.count
        shard.ring.complete(place, result: Int32(bytes.count))
    }

    private func endStream(_ peer: Int) {
        deliver(peer, limit: .max)
        shard.enter(wait: false)
        if peers[peer].undelivered.isEmpty { complete(.receive, peer, result: 0) }
    }

    private func endSend(_ peer: Int, _ byte: UInt8) {
        guard let place = place(of: [.send], peer: peer) else { return }
        let submission = shard.ring.submissions[place]
        precondition(submission.byteCount > 0, "a send of nothing")
        switch byte {
        case 0xFD: shard.ring.complete(place, result: -EPIPE)
        case 0xFE: shard.ring.complete(place, result: -EINTR)
        default:
            let share = byte == 0 ? 255 : Int(byte)
            let count = max(1, submission.byteCount * share / 255)
            peers[peer].sent += submission.bytes(count: count)
            shard.ring.complete(place, result: Int32(count))
        }
    }

    private func passTime(milliseconds: UInt64) {
        time += milliseconds * 1_000_000
        hasTimePassed = true
        MonotonicClock.set(nanoseconds: time)
    }

    // MARK: The engine

    private func take() {
        guard let request = transport.nextRequest(now: now()) else { return }
        check(request)
        held.append(request)
    }

    private func check(_ request: Request) {
        let entry = Int(request.handle.index)
        let descriptor = transport.connections[transport.entries[entry].session].descriptor
        guard let peer = peers.firstIndex(where: { $0.descriptor == descriptor }) else {
            preconditionFailure("a request of no connection")
        }
        let later = hasTimePassed ? transport.entries[entry].header.requestID : nil
        let frame =
            request.isRepeated ? handedOver[entry] : peers[peer].nextRequest(later: later)
        guard let frame else { preconditionFailure("a request is repeated that was never made") }
        handedOver[entry] = frame
        let header = frame.header
        precondition(demand == .none || frame.isGenuine, "a request that nobody signed")
        precondition(
            request.operation == header.operation && request.namespace == header.namespace
                && request.payloadBytes == header.payloadBytes
                && request.payloadChecksum == header.payloadChecksum
                && request.body.length.rawValue == UInt64(header.bodyBytes),
            "another request than was sent")
        precondition(
            FuzzMemory.holds(Self.arena, request.body, frame.body), "another body than was sent")
        guard header.payloadBytes > 0 else { return }
        let entryLease = transport.entries[entry].inbound.take()
        guard let lease = entryLease else { preconditionFailure("a payload without slabs") }
        var position = 0
        while position < frame.payload.count {
            let piece = lease.piece(
                at: UInt64(position), limit: ByteCount(frame.payload.count - position))
            let bytes = frame.payload.dropFirst(position).prefix(Int(piece.length.rawValue))
            precondition(
                FuzzMemory.holds(Self.arena, piece, bytes), "another payload than was sent")
            position += bytes.count
        }
        transport.entries[entry].inbound = consume lease
    }

    private func respond(_ input: inout FuzzInput) {
        let choice = input.below(256)
        let status = Status.allCases[input.below(Status.allCases.count)]
        let bodyBytes = UInt32(input.byte()) * 48
        let payloadBytes = UInt32(input.byte()) * 48
        guard !held.isEmpty else { return }
        let request = held.remove(at: choice % held.count)
        answer(request, status, bodyBytes: bodyBytes, payloadBytes: payloadBytes)
    }

    /// Gives a request its own payload back.
    private func echo() {
        take()
        guard let request = held.popLast() else { return }
        let lease = transport.takePayload(of: request.handle)
        let payloadBytes = lease == nil ? 0 : request.payloadBytes
        transport.respond(
            to: request.handle, with: Response(status: .ok, payloadBytes: payloadBytes),
            payload: lease)
    }

    private func answer(
        _ request: Request, _ status: Status, bodyBytes: UInt32, payloadBytes: UInt32
    ) {
        let length = UInt64(payloadBytes)
        if length > 0, !transport.admitsResponse(to: request.handle, lengthBytes: length) {
            return
        }
        let wanted = payloadBytes > 0 ? pool.lease(lengthBytes: ByteCount(Int(payloadBytes))) : nil
        let given = wanted == nil ? 0 : payloadBytes
        transport.respond(
            to: request.handle,
            with: Response(
                status: status, bodyBytes: min(bodyBytes, BodyLayout.bodyLimitBytes),
                payloadBytes: given), payload: wanted)
    }

    // MARK: The end

    func end() {
        for peer in peers { peer.checkSent() }
        while let request = transport.nextRequest(now: now()) {
            check(request)
            held.append(request)
        }
        transport.stopListening()
        transport.closeSessions()
        for request in held { answer(request, .shuttingDown, bodyBytes: 0, payloadBytes: 0) }
        shard.enter(wait: false)
        while let place = shard.ring.submissions.firstIndex(where: { $0.action != .wake }) {
            shard.ring.complete(place, result: -ECANCELED)
            shard.enter(wait: false)
        }
        precondition(transport.isIdle, "a session is still in use")
        precondition(
            transport.freeRequests == Self.configuration.limits.requests,
            "a request is still in use")
        precondition(pool.freeSlabs == Int(Self.slabCount), "a slab is still in use")
        precondition(pool.doubleFreeCount == 0, "a slab was given back twice")
    }
}
