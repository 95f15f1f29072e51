// LeaseLink: a leaseholder's way to the server: a TCP session, the queue pair that it asked for,
// and again from the start when either is lost.
//
//   none ─pause over─► greeting ─offered─► joining ─open─► open
//     ▲                   │                   │             │
//     └───────────────────┴───────────────────┴─ lost ──────┘
//
// Always holds: no more requests are unanswered than the server gives credits; the pauses between
// attempts that failed double up to 50 ms.

internal import Client
internal import Engine
internal import QueuePairs
internal import Sim
internal import Wire

final class LeaseLink {
    private unowned let world: World
    private let client: Int
    private var random: RandomStream
    private var connection: SimulatedConnection?
    private var bytes: SessionBytes?
    private var hasStarted = false
    private var pair: SimulatedQueuePair?
    private var frames = LeaseFrames(nil)
    private var credits = 0
    private var unanswered = 0
    private(set) var postedMoves = 0
    private(set) var hasFailed = false
    private var failures: UInt64 = 0
    private var nextAttempt = Instant(nanoseconds: 0)
    private var givenUpAt = Instant.never

    private static let patienceMicroseconds: UInt64 = 500_000

    init(client: Int, world: World, seed: UInt64) {
        self.client = client
        self.world = world
        random = RandomStream(seed: seed, name: "lease link")
    }

    var isOpen: Bool { pair?.isUsable ?? false }
    var mayAsk: Bool { isOpen && unanswered < credits }
    var endedMoves: Int { pair?.endedMoves ?? 0 }

    func nextWake(isWanted: Bool) -> Instant {
        if connection == nil { return isWanted ? nextAttempt : .never }
        return isOpen ? .never : givenUpAt
    }

    private var time: MonotonicTime { MonotonicTime(nanoseconds: world.now.nanoseconds) }

    // MARK: Coming to be

    func advance(isWanted: Bool) -> Bool {
        guard let connection else {
            guard isWanted, world.now >= nextAttempt else { return false }
            open()
            return true
        }
        if connection.isReset || (!isOpen && world.now >= givenUpAt) {
            fail()
            return true
        }
        var moved = false
        if connection.opening == .open, !hasStarted {
            hasStarted = true
            bytes?.start()
        }
        if case .failed = connection.opening { fail() }
        var outcomes: [RequestOutcome] = []
        while bytes?.move(by: connection, now: time, outcomes: &outcomes) ?? false { moved = true }
        if bytes?.session.failure != nil { fail() }
        if pair == nil, bytes?.session.isReady ?? false, let offer = bytes?.session.offer {
            join(offer, secret: bytes?.session.queuePairSecret)
            moved = true
        }
        if case .failed? = pair?.opening { fail() }
        if isOpen { failures = 0 }
        return moved || hasFailed
    }

    private func open() {
        let connection = world.network.open(from: client, isHostile: false)
        self.connection = connection
        hasStarted = false
        givenUpAt = world.now.advanced(byMicroseconds: Self.patienceMicroseconds)
        let credentials = world.server.plan.keys.first.map {
            Credentials(key: $0.key, nonce: world.network.drawNonce())
        }
        bytes = SessionBytes(ClientSession(credentials: credentials, asksForQueuePair: true))
    }

    private func join(_ offer: QueuePairOffer, secret: Secret?) {
        let keys = QueuePairKeys(secret: secret, sessionID: offer.sessionID, nonce: offer.nonce)
        frames = LeaseFrames(secret == nil ? nil : keys)
        credits = Int(offer.credits)
        unanswered = 0
        postedMoves = 0
        pair = world.network.openQueuePair(from: client, offer, keys, as: .leaseholder)
    }

    // MARK: Messages and transfers

    func ask(_ header: FrameHeader, _ body: [UInt64]) {
        do throws(SessionFailure) {
            try pair?.send(frames.message(header, body))
            unanswered += 1
        } catch {
            fail()
        }
    }

    func nextAnswer() -> (header: FrameHeader, body: [UInt64])? {
        guard !hasFailed, let pair, pair.opening == .open else { return nil }
        do throws(SessionFailure) {
            guard let words = try pair.receive() else { return nil }
            unanswered -= 1
            guard let answer = frames.answer(words) else {
                fail()
                return nil
            }
            return answer
        } catch {
            fail()
            return nil
        }
    }

    func write(_ bytes: [UInt8], _ segment: RemoteSegment) {
        postedMoves += 1
        pair?.write(bytes, to: segment)
    }

    func read(_ segment: RemoteSegment, into destination: DestinationBytes) {
        postedMoves += 1
        pair?.read(segment, into: destination)
    }

    // MARK: Ends

    func fail() { hasFailed = true }

    func close() {
        pair?.close()
        end()
    }

    /// Nobody is told of the queue pair's end for a while.
    func die(afterMicroseconds: UInt64) {
        pair?.die(afterMicroseconds: afterMicroseconds)
        let dying = pair
        end()
        // What the dead machine's card had to send goes on by it.
        pair = dying
    }

    private func end() {
        connection?.close()
        connection = nil
        bytes = nil
        pair = nil
        hasFailed = false
        failures += 1
        let longest = min(50_000, UInt64(500) << min(failures, 10))
        nextAttempt = world.now.advanced(byMicroseconds: 1 + random.below(longest))
    }
}
