// SimulatedRemote: what a server has for RDMA in one of its lives: a device, offers, and a control
// thread that takes its time; and SimulatedFabric, a shard's way to these.
//
// Always holds: the control thread does one thing after the other, each some time after it was
// asked for: until a revocation is done, or a queue pair is destroyed, its client reaches the
// memory. Nothing of a life that is over happens any more.

internal import Client
internal import Engine
internal import Judgement
internal import QueuePairs
internal import Sim
internal import Wire

/// What happened by RDMA in a run.
struct RemoteCounts {
    var requests: UInt64 = 0
    var connected: UInt64 = 0
    /// Queue pairs that failed, for whatever reason but a client's closing.
    var broken: UInt64 = 0
    /// Accesses to the server's memory that found no registration.
    var refusedAccesses: UInt64 = 0
    /// Leases that were granted, that ended by their time, and that there was no room for.
    var leases: UInt64 = 0
    var expiredLeases: UInt64 = 0
    var refusedLeases: UInt64 = 0
    /// Clients' own writes and reads that came through.
    var moves: UInt64 = 0
    /// Writes that landed between the request to revoke and its end, or in a dead client's lease.
    var lateWrites: UInt64 = 0
    /// Transfers that a failure cut in the middle.
    var partialTransfers: UInt64 = 0
    var deathsInWrites: UInt64 = 0
    var refusedMessages: UInt64 = 0
    /// Requests that ended while the port had no link.
    var endsWithoutPort: UInt64 = 0
}

/// One life's RDMA.
final class SimulatedRemote {
    unowned let world: World
    let configuration: RDMAConfiguration
    let arena: Arena
    let inbound: InboundShare
    private(set) var fabrics: [SimulatedFabric] = []
    private var offers = QueuePairOffers()
    private var random: RandomStream
    private let controlMicroseconds: Drawn
    private var requests: [QueuePairRequest] = []
    private var nextRequest = 0
    /// By shard and slot.
    private var pairs: [[SimulatedQueuePair?]]
    private(set) var isOver = false

    init(
        world: World, plan: RemotePlan, slabs: SlabPool, shardCount: Int, seed: UInt64,
        life: UInt64
    ) {
        self.world = world
        configuration = plan.configuration
        controlMicroseconds = plan.controlMicroseconds
        arena = slabs.arena
        inbound = InboundShare(
            limit: max(
                slabs.slabCount / 4,
                slabs.slabs(for: ByteCount(UInt64(plan.configuration.payloadLimitBytes)))))
        random = RandomStream(seed: seed, name: "rdma", incarnation: life)
        pairs = Array(
            repeating: Array(repeating: nil, count: plan.configuration.queuePairs),
            count: shardCount)
        fabrics = (0..<shardCount).map { SimulatedFabric(self, shard: $0) }
    }

    var isPortUp: Bool { world.isRemotePortUp }

    /// Queue pairs that both ends take for open.
    var openPairs: [SimulatedQueuePair] {
        pairs.flatMap { $0.compactMap { $0 } }.filter(\.isUsable)
    }

    // MARK: Offers

    func open(
        _ place: QueuePairPlace, secret: Secret?, expires: Instant
    ) -> (offer: UInt64, nonce: QueuePairNonce) {
        let nonce = QueuePairNonce(words: [random.next(), random.next()])
        let offer = offers.open(
            place, nonce: nonce, secret: secret, expires: expires, drawing: { random.next() })
        return (offer, nonce)
    }

    func withdraw(_ offer: UInt64) -> Bool { offers.take(offer) != nil }

    /// A client's greeting has come; returns the server's, nil for a client that is turned away.
    func greeted(
        _ privateData: [UInt8], by pair: SimulatedQueuePair
    ) -> QueuePairGreeting? {
        guard !isOver, isPortUp else { return nil }
        switch offers.admit(privateData, now: world.server.clock) {
        case .refused(_, let place):
            if let place { tell(.failed(place), place) }
            return nil
        case .admitted(let opening, let role, let answer):
            let place = opening.place
            pairs[place.shard][place.slot] = pair
            pair.serve(
                at: place, by: fabrics[place.shard], rowsPerPair: configuration.rowsPerPair)
            world.remoteCounts.connected += 1
            tell(
                .connected(
                    place,
                    NewQueuePair(
                        device: 0, localKey: 1, isForLeases: role == .leaseholder,
                        keys: opening.keys, isSigned: opening.isSigned)), place)
            return answer
        }
    }

    func pair(_ shard: Int, _ slot: Int) -> SimulatedQueuePair? { pairs[shard][slot] }

    func tell(_ news: QueuePairNews, _ place: QueuePairPlace) {
        if !isOver { fabrics[place.shard].add(news) }
    }

    // MARK: The control thread

    func ask(_ request: QueuePairRequest) {
        guard !isOver else { return }
        switch request {
        case .revoke(let lease): pair(of: lease.queuePair)?.isAsked(lease)
        case .end(let place): pair(of: place)?.endIsAsked()
        case .expose, .released: break
        }
        requests.append(request)
        if requests.count - nextRequest == 1 { scheduleControl() }
    }

    private func pair(of place: QueuePairPlace) -> SimulatedQueuePair? {
        pairs[place.shard][place.slot]
    }

    private func scheduleControl() {
        world.schedule(
            .remote { [self] in control() }, after: controlMicroseconds.draw(from: &random))
    }

    private func control() {
        guard !isOver else { return }
        guard !world.server.isFrozen else {
            world.schedule(.remote { [self] in control() }, after: 1000)
            return
        }
        let request = requests[nextRequest]
        nextRequest += 1
        if nextRequest == requests.count {
            requests = []
            nextRequest = 0
        } else {
            scheduleControl()
        }
        carryOut(request)
    }

    private func carryOut(_ request: QueuePairRequest) {
        switch request {
        case .end(let place):
            pair(of: place)?.serverEnds()
            pairs[place.shard][place.slot] = nil
            tell(.ended(place), place)
        case .expose(let lease, let ranges, let access):
            guard let pair = pair(of: lease.queuePair) else { return }
            let segments = pair.expose(lease, ranges, access)
            world.remoteCounts.leases += 1
            tell(.lease(lease, .exposed(segments)), lease.queuePair)
        case .revoke(let lease):
            guard let pair = pair(of: lease.queuePair) else { return }
            pair.revoke(lease)
            tell(.lease(lease, .revoked(isOver: true)), lease.queuePair)
        case .released: break
        }
    }

    // MARK: Ends

    /// The port has no link any more, or has it again.
    func portChanged() {
        for fabric in fabrics { fabric.wake() }
    }

    /// The process is gone.
    func end() {
        isOver = true
        for pair in pairs.flatMap({ $0.compactMap { $0 } }) { pair.serverDied() }
    }
}

/// A shard's way to queue pairs.
final class SimulatedFabric: QueuePairFabric {
    private unowned let remote: SimulatedRemote
    private let shard: Int
    private var news: [QueuePairNews] = [.came(device: 0)]
    private var completions: [QueuePairCompletion] = []
    private(set) var hasNews = true

    init(_ remote: SimulatedRemote, shard: Int) {
        self.remote = remote
        self.shard = shard
    }

    func wake() { hasNews = true }

    /// The shard is about to look at everything that there is.
    func looked() { hasNews = false }

    func add(_ more: QueuePairNews) {
        news.append(more)
        hasNews = true
    }

    /// A device that has nowhere to put a completion loses it.
    func add(_ completion: QueuePairCompletion) {
        hasNews = true
        completions.append(completion)
        guard completions.count > configuration.completions else { return }
        remote.world.judge.fail(
            Violation(
                .completionQueueFull, "more than \(configuration.completions) completions at once"))
    }

    // MARK: QueuePairFabric

    var configuration: RDMAConfiguration { remote.configuration }
    var inbound: InboundShare { remote.inbound }
    var deviceCount: Int { 1 }
    var problem: String? { remote.isPortUp ? nil : "the port isn't active" }
    var port: UInt16 { 9900 }
    var addresses: [DeviceAddress] { remote.isPortUp ? [DeviceAddress(192, 0, 2, 1)] : [] }
    var now: Instant { remote.world.server.clock }

    func count(_ amount: UInt64, as counter: RDMACounter) {
        switch counter {
        case .requests:
            remote.world.remoteCounts.requests += amount
        case .malformedMessages, .forgedMessages: remote.world.remoteCounts.refusedMessages += 1
        case .expiredLeases: remote.world.remoteCounts.expiredLeases += amount
        case .refusedLeases: remote.world.remoteCounts.refusedLeases += amount
        default: break
        }
    }

    func open(
        _ place: QueuePairPlace, secret: Secret?, expires: Instant
    ) -> (offer: UInt64, nonce: QueuePairNonce) {
        remote.open(place, secret: secret, expires: expires)
    }

    func withdraw(_ offer: UInt64) -> Bool { remote.withdraw(offer) }

    func takeNews() -> [QueuePairNews] {
        defer { news.removeAll(keepingCapacity: true) }
        return news
    }

    func ask(_ request: QueuePairRequest) { remote.ask(request) }

    func use(device: Int) throws(QueuePairFailure) {}
    func forget(device: Int) {}
    func arm(device: Int) throws(QueuePairFailure) {}

    func poll(
        device: Int, _ take: (QueuePairCompletion) -> Void
    ) throws(QueuePairFailure) -> Int {
        let taken = completions
        completions.removeAll(keepingCapacity: true)
        for completion in taken { take(completion) }
        return taken.count
    }

    func post(
        _ work: borrowing InlineArray<16, QueuePairWork>, count: Int, slot: Int
    ) throws(QueuePairFailure) {
        guard let pair = remote.pair(shard, slot) else { throw QueuePairFailure() }
        for index in 0..<count { pair.post(work[index]) }
    }

    func postReceive(
        into memory: ArenaRange, localKey: UInt32, workID: UInt64, slot: Int
    ) throws(QueuePairFailure) {
        guard let pair = remote.pair(shard, slot) else { throw QueuePairFailure() }
        pair.postReceive(into: memory, workID: workID)
    }
}
