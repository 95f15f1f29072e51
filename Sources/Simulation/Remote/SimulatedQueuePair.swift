// SimulatedQueuePair: a reliable connection between a client's memory and a server's, both ends of
// it: messages, the server's transfers, and a leaseholder's own.
//
//   connecting ──greeted back──► open ──work fails, a fault──► broken
//        │                        │
//        └──── turned away        └── the client closes, the server destroys it
//
// Always holds: in each direction what was posted lands in order, each piece some time after its
// posting and until its end closes: after `close` the client's memory is left alone, after
// `serverEnds` the server's; what the server reads may have left the client's before. What fails in
// the middle has moved a part of its bytes, which chance decides. An access to memory that isn't
// registered, or not for this, breaks the queue pair, as a network card does it. A piece that
// doesn't get through is repeated for a while first.

internal import Client
internal import Engine
internal import Judgement
internal import QueuePairs
internal import Sim
internal import Wire

/// A client's memory that its server may reach, for as long as somebody has this.
final class ClientRegistration: Sendable {
    let memory: ValueMemory
    init(_ memory: ValueMemory) { self.memory = memory }
}

/// One queue pair; to its client's core a port.
final class SimulatedQueuePair: ClientQueuePair {
    private struct Registered { weak var registration: ClientRegistration? }

    /// Leased memory that the client may reach.
    private struct Exposed {
        let lease: LeasePlace
        let range: ArenaRange
        let access: LeaseAccess
    }

    /// A leaseholder's own transfer.
    private struct Move {
        /// As they were posted; none for a read.
        let bytes: [UInt8]?
        let destination: DestinationBytes?
        let segment: RemoteSegment
    }

    /// What travels, the first to land first.
    private enum Piece {
        case work(QueuePairWork)
        case message([UInt64])
        case move(Move)
    }

    let number: Int
    let client: Int
    private unowned let world: World
    private let remote: SimulatedRemote?
    private let keys: QueuePairKeys
    private let offer: QueuePairOffer
    private var random: RandomStream

    // The client's end.
    private(set) var opening = OpeningProgress.pending
    private var isClosed = false
    private var arrived: [[UInt64]] = []
    private var registered: [UInt32: Registered] = [:]
    private var nextKey: UInt32 = 1
    /// Of its own transfers, those that have ended.
    private(set) var endedMoves = 0
    /// Its process is gone, and what it has posted isn't yet.
    private(set) var isDead = false

    // The server's end.
    private var place: QueuePairPlace?
    private weak var fabric: SimulatedFabric?
    private var receives: [(memory: ArenaRange, workID: UInt64)] = []
    private var exposed: [UInt32: Exposed] = [:]
    /// Of each lease, by its place.
    private var keysOfLeases: [Int: [UInt32]] = [:]
    /// Leases that the server has asked to take back, by their places.
    private var revoking: Set<Int> = []
    /// The server wants it destroyed.
    private var isEnding = false
    /// Its client has sent more requests than it has credits.
    private var hasExceeded = false
    private var isServerEnded = false

    private var isBroken = false
    private var toServer: [Piece] = []
    private var toClient: [Piece] = []
    private var lastToServer = Instant(nanoseconds: 0)
    private var lastToClient = Instant(nanoseconds: 0)
    /// Since when nothing gets through.
    private var blockedSince = Instant.never

    private static let patienceMicroseconds: UInt64 = 2000
    private static let repetitionMicroseconds: UInt64 = 200
    /// Where the arena lies for clients.
    private static let arenaBase: UInt64 = 1 << 40

    init(
        number: Int, client: Int, world: World, offer: QueuePairOffer, keys: QueuePairKeys,
        role: QueuePairRole
    ) {
        self.number = number
        self.client = client
        self.world = world
        self.offer = offer
        self.keys = keys
        remote = world.server.remote
        random = RandomStream(
            seed: world.seed, name: "queue pair", incarnation: UInt64(number))
        let greeting = QueuePairGreeting(
            from: role, sessionID: offer.sessionID, nonce: offer.nonce, keys: keys)
        let words = greeting.words
        let bytes = (0..<QueuePairGreeting.byteCount).map {
            UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8))
        }
        world.schedule(.remote { [self] in connect(bytes) }, after: 2 * latency())
    }

    private func latency() -> UInt64 {
        let drawn = world.network.shape.latencyMicroseconds.draw(from: &random)
        return max(1, drawn / 3) * world.network.links[client].latencyPercent / 100
    }

    private var isReachable: Bool {
        let link = world.network.links[client]
        return world.isRemotePortUp && !link.holdsToServer && !link.holdsToClient
    }

    var isUsable: Bool { opening == .open && !isBroken && !isClosed && !isServerEnded }

    // MARK: Coming to be

    private func connect(_ greeting: [UInt8]) {
        guard !isClosed else { return }
        guard isReachable, let answer = remote?.greeted(greeting, by: self) else {
            opening = .failed(.session(.queuePair("the server rejected it")))
            world.wake(client)
            return
        }
        world.schedule(.remote { [self] in welcome(answer) }, after: latency())
    }

    private func welcome(_ answer: QueuePairGreeting) {
        guard !isClosed, opening == .pending, !isBroken else { return }
        let isRight =
            answer.sessionID == offer.sessionID && answer.hasCode(of: keys)
            && answer.nonce.words[0] == offer.nonce.words[0]
            && answer.nonce.words[1] == offer.nonce.words[1]
        opening = isRight ? .open : .failed(.session(.wrongGreeting))
        world.sim.note(.connected, UInt64(number), 1, 0)
        world.wake(client)
    }

    func serve(at place: QueuePairPlace, by fabric: SimulatedFabric, rowsPerPair: Int) {
        self.place = place
        self.fabric = fabric
        guard let memory = world.server.remoteMemory(of: place.shard) else { return }
        for row in (place.slot * rowsPerPair)..<((place.slot + 1) * rowsPerPair) {
            let name = WorkName(isReceive: true, generation: place.generation, index: row)
            receives.append((memory.request(row), name.number))
        }
    }

    // MARK: The client's end

    var maySend: Bool { isUsable }

    func send(_ words: [UInt64]) throws(SessionFailure) {
        guard isUsable else { throw .queuePair("it has failed") }
        travel(.message(words), toServer: true, byteCount: words.count * 8)
    }

    func receive() throws(SessionFailure) -> [UInt64]? {
        if !arrived.isEmpty { return arrived.removeFirst() }
        if isBroken || isServerEnded { throw .queuePair("it has failed") }
        return nil
    }

    func expose(_ memory: [ValueMemory]) throws(SessionFailure) -> Exposure {
        guard isUsable else { throw .queuePair("it has failed") }
        if registered.count > 256 { registered = registered.filter { $1.registration != nil } }
        var segments: [RemoteSegment] = []
        var registrations: [ClientRegistration] = []
        for piece in memory {
            let registration = ClientRegistration(piece)
            registered[nextKey] = Registered(registration: registration)
            registrations.append(registration)
            segments.append(
                RemoteSegment(
                    address: 4096, remoteKey: nextKey, lengthBytes: UInt32(piece.byteCount)))
            nextKey += 1
        }
        return Exposure(segments: segments, registrations: registrations)
    }

    /// Writes `bytes` to a lease's memory, when their time comes.
    func write(_ bytes: [UInt8], to segment: RemoteSegment) {
        travel(
            .move(Move(bytes: bytes, destination: nil, segment: segment)), toServer: true,
            byteCount: bytes.count)
    }

    /// Reads a lease's memory, when its time comes.
    func read(_ segment: RemoteSegment, into destination: DestinationBytes) {
        travel(
            .move(Move(bytes: nil, destination: destination, segment: segment)), toServer: true,
            byteCount: destination.count)
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        leaveReads()
        registered = [:]
        world.schedule(.remote { [self] in clientIsGone() }, after: latency())
    }

    /// What the server reads and has left this end goes on its way, repeated perhaps.
    private func leaveReads() {
        for case .work(let work) in toClient where work.kind == .read && opening == .open {
            guard let memory = registered[work.remoteKey]?.registration?.memory else { continue }
            let count = Int(work.local.length.rawValue)
            let bytes = memory.copy(from: Int(work.remoteAddress - 4096), count: count)
            world.schedule(
                .remote { [self] in
                    if !isBroken, !isServerEnded {
                        remote?.arena.copyIn(bytes, at: work.local.start)
                    }
                }, after: latency() + random.below(400))
        }
    }

    /// The client's machine is gone: what it has posted goes on landing for a while, and nobody
    /// tells the server.
    func die(afterMicroseconds: UInt64) {
        isDead = true
        registered = [:]
        world.schedule(
            .remote { [self] in
                isClosed = true
                clientIsGone()
            }, after: afterMicroseconds)
    }

    private func clientIsGone() {
        toServer = []
        guard let place, !isServerEnded else { return }
        remote?.tell(.lost(place), place)
    }

    /// Sends more requests at once than the server gives credits, and goes on with single ones.
    func exceedCredits(by extra: Int) {
        guard isUsable else { return }
        let credits = Int(offer.credits)
        let first = latency()
        world.schedule(
            .remote { [self] in
                hasExceeded = true
                for _ in 0..<min(credits + extra, receives.count) { sendExists() }
            }, after: first)
        for number in 1...(2 * credits) {
            world.schedule(.remote { [self] in sendExists() }, after: first + UInt64(number))
        }
    }

    private func sendExists() {
        guard isUsable, !world.server.isFrozen else { return }
        let header = FrameHeader(
            operation: .exists, requestID: 1 << 62, bodyBytes: BodyLayout.keyBytes)
        arriveAtServer((0..<FrameHeader.wordCount).map { header.words[$0] } + [0, 0, 0, 0])
    }

    // MARK: The server's end

    func post(_ work: QueuePairWork) {
        travel(.work(work), toServer: false, byteCount: Int(work.local.length.rawValue))
    }

    func postReceive(into memory: ArenaRange, workID: UInt64) {
        receives.append((memory, workID))
    }

    func expose(
        _ lease: LeasePlace, _ ranges: [ArenaRange], _ access: LeaseAccess
    ) -> [RemoteSegment] {
        let segments = ranges.map { range in
            let key = nextKey
            nextKey += 1
            exposed[key] = Exposed(lease: lease, range: range, access: access)
            return RemoteSegment(
                address: Self.arenaBase + range.start.rawValue, remoteKey: key,
                lengthBytes: UInt32(range.length.rawValue))
        }
        keysOfLeases[lease.index] = segments.map(\.remoteKey)
        return segments
    }

    /// The server has asked for its end.
    func endIsAsked() { isEnding = true }

    /// Values are on their way, by the server's doing.
    var isTransferring: Bool {
        toClient.contains { if case .work(let work) = $0 { work.kind != .send } else { false } }
    }

    /// The server has asked for a lease's end.
    func isAsked(_ lease: LeasePlace) { revoking.insert(lease.index) }

    func revoke(_ lease: LeasePlace) {
        for key in keysOfLeases[lease.index] ?? [] { exposed[key] = nil }
        keysOfLeases[lease.index] = nil
        revoking.remove(lease.index)
    }

    /// Destroyed: its card has let go of all memory.
    func serverEnds() {
        isServerEnded = true
        exposed = [:]
        toClient = []
        toServer = []
        world.wake(client)
    }

    func serverDied() {
        serverEnds()
        isBroken = true
    }

    // MARK: Travelling

    private func travel(_ piece: Piece, toServer way: Bool, byteCount: Int) {
        guard !isBroken, !isServerEnded, !way || !isClosed else { return }
        let rate = max(1, world.network.shape.bytesPerMicrosecond)
        let lands = world.now.advanced(byMicroseconds: latency() + UInt64(byteCount) / rate)
        if way {
            lastToServer = max(lastToServer, lands)
            toServer.append(piece)
            world.schedule(.remote { [self] in land(toServer: true) }, at: lastToServer)
        } else {
            lastToClient = max(lastToClient, lands)
            toClient.append(piece)
            world.schedule(.remote { [self] in land(toServer: false) }, at: lastToClient)
        }
    }

    private func land(toServer way: Bool) {
        guard !isBroken, !isServerEnded, way ? !toServer.isEmpty : !toClient.isEmpty else { return }
        guard isReachable, way || !isDead else {
            blockedSince = min(blockedSince, world.now)
            guard world.now.microseconds(since: blockedSince) < Self.patienceMicroseconds else {
                return fail()
            }
            world.schedule(
                .remote { [self] in land(toServer: way) }, after: Self.repetitionMicroseconds)
            return
        }
        blockedSince = .never
        let piece = way ? toServer.removeFirst() : toClient.removeFirst()
        switch piece {
        case .message(let words): arriveAtServer(words)
        case .move(let move): carryOut(move)
        case .work(let work): carryOut(work)
        }
    }

    private func arriveAtServer(_ words: [UInt64]) {
        world.sim.note(.arrived, UInt64(number), UInt64(words.count), 4)
        guard !receives.isEmpty else {
            // Its client's own doing, or too late.
            if isEnding || hasExceeded { return fail() }
            world.judge.fail(
                Violation(.messageWithoutReceive, "queue pair \(number) has no receive posted"))
            return fail()
        }
        let (memory, workID) = receives.removeFirst()
        for (index, word) in words.enumerated() {
            remote?.arena.storeWord(word, at: memory.start.advanced(by: UInt64(index) * 8))
        }
        fabric?.add(
            QueuePairCompletion(
                workID: workID, isSuccess: true, isFlushed: false, receivedBytes: words.count * 8))
    }

    // MARK: The server's transfers

    private func carryOut(_ work: QueuePairWork) {
        // Nobody is there any more to say that it has come.
        guard !isClosed, let arena = remote?.arena else { return fail() }
        switch work.kind {
        case .send:
            let count = work.local.length.rawValue / 8
            arrived.append(
                (0..<count).map { arena.loadWord(work.local.start.advanced(by: $0 * 8)) })
            world.sim.note(.arrived, UInt64(number), work.local.length.rawValue, 5)
            world.wake(client)
        case .read, .write:
            guard move(work, Int(work.local.length.rawValue)) else {
                world.remoteCounts.refusedAccesses += 1
                return fail()
            }
        }
        guard work.isSignalled else { return }
        let completion = QueuePairCompletion(
            workID: work.workID, isSuccess: true, isFlushed: false, receivedBytes: nil)
        world.schedule(
            .remote { [self] in
                if !isBroken, !isServerEnded { fabric?.add(completion) }
            }, after: latency())
    }

    /// Moves the first `count` bytes of a transfer; false when the client's memory isn't there.
    private func move(_ work: QueuePairWork, _ count: Int) -> Bool {
        guard let memory = registered[work.remoteKey]?.registration?.memory,
            let arena = remote?.arena, work.remoteAddress >= 4096
        else { return false }
        let offset = Int(work.remoteAddress - 4096)
        guard offset + Int(work.local.length.rawValue) <= memory.byteCount else { return false }
        if work.kind == .read {
            arena.copyIn(memory.copy(from: offset, count: count), at: work.local.start)
        } else {
            memory.store(
                arena.copyOut(work.local.part(at: 0, length: ByteCount(count))), at: offset)
        }
        return true
    }

    // MARK: The leaseholder's transfers

    private func carryOut(_ move: Move) {
        guard reach(move, count: Int(move.segment.lengthBytes)) else {
            world.remoteCounts.refusedAccesses += 1
            return fail()
        }
        world.remoteCounts.moves += 1
        endedMoves += 1
        world.sim.note(.arrived, UInt64(number), UInt64(move.segment.lengthBytes), 6)
        world.wake(client)
    }

    /// Moves the first `count` bytes; false when nobody may reach that memory.
    private func reach(_ move: Move, count: Int) -> Bool {
        let segment = move.segment
        guard let found = exposed[segment.remoteKey], let arena = remote?.arena,
            found.access == (move.bytes == nil ? .read : .write),
            segment.address >= Self.arenaBase + found.range.start.rawValue,
            segment.address + UInt64(segment.lengthBytes)
                <= Self.arenaBase + found.range.start.rawValue + found.range.length.rawValue
        else { return false }
        let start = ArenaOffset(segment.address - Self.arenaBase)
        if let bytes = move.bytes {
            if revoking.contains(found.lease.index) || isDead { world.remoteCounts.lateWrites += 1 }
            arena.copyIn(Array(bytes.prefix(count)), at: start)
        } else if let destination = move.destination, !isClosed, !isDead {
            let range = ArenaRange(start: start, length: ByteCount(count))
            ValueMemory.destination(destination).store(arena.copyOut(range), at: 0)
        }
        return true
    }

    // MARK: Failing

    /// Goes into its error state: of what lands next a part has landed, everything else is flushed.
    func fail() {
        guard !isBroken, !isServerEnded else { return }
        leavePart(of: toServer.first)
        leavePart(of: toClient.first)
        isBroken = true
        world.remoteCounts.broken += 1
        world.sim.note(.disconnected, UInt64(number), 2, 0)
        flush()
        toServer = []
        toClient = []
        if opening == .pending { opening = .failed(.session(.queuePair("it has failed"))) }
        world.wake(client)
    }

    private func leavePart(of piece: Piece?) {
        switch piece {
        case .work(let work) where work.kind != .send && !isClosed && !isDead:
            let part = Int(random.below(work.local.length.rawValue + 1))
            if part > 0, move(work, part) { world.remoteCounts.partialTransfers += 1 }
        case .move(let move):
            let part = Int(random.below(UInt64(move.segment.lengthBytes) + 1))
            if part > 0, reach(move, count: part) { world.remoteCounts.partialTransfers += 1 }
        default: break
        }
    }

    /// Everything that was posted ends with an error, the first with one of its own.
    private func flush() {
        var isFirst = true
        for piece in toClient {
            guard case .work(let work) = piece else { continue }
            fabric?.add(
                QueuePairCompletion(
                    workID: work.workID, isSuccess: false, isFlushed: !isFirst,
                    receivedBytes: nil))
            isFirst = false
        }
        for (_, workID) in receives {
            fabric?.add(
                QueuePairCompletion(
                    workID: workID, isSuccess: false, isFlushed: true, receivedBytes: nil))
        }
        receives = []
    }
}
