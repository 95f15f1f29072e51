// RDMAService: what all shards of a daemon and its RDMA control thread share: devices, offers that
// wait for their clients, and news in both directions.
//
// Always holds: an offer is taken once, by the first greeting that names it or by the shard that
// takes it back, whichever comes first; what the control thread tells a shard of a connection is
// there before any completion of that connection, and behind the news of its device. A device that
// can't be used costs RDMA on it and nothing else.

#if Verbs

package import Engine
package import QueuePairs
internal import Synchronization
package import Verbs
internal import Wire

/// What the control thread tells a shard, with what the shard uses from then on.
enum ShardNews: Sendable {
    case plain(QueuePairNews)
    /// A client has come, by this connection.
    case connected(QueuePairPlace, NewQueuePair, RDMAConnection)
    /// A device is there: this is slot `Int`'s.
    case came(Int, RDMADeviceEnd)
}

/// What a shard asks of the control thread, which does it in this order, or tells it.
enum ControlRequest: Sendable {
    /// To destroy a queue pair.
    case end(RDMAConnection, QueuePairPlace)
    /// To let a queue pair's client reach memory: for reading or for writing.
    case expose(LeasePlace, [ArenaRange], LeaseAccess)
    /// To take that back.
    case revoke(LeasePlace)
    /// The shard holds nothing of the slot's device any more.
    case released(slot: Int)
}

/// The service. Shared by the shards' threads and the control thread.
package final class RDMAService: Sendable {
    package let configuration: RDMAConfiguration
    /// One for each shard; the last one is the control thread's.
    let counters: [RDMACounters]
    /// One for each device of the configuration.
    let slots: [RDMADeviceSlot]
    let arena: Arena
    let memories: [RDMAMemory]
    let port: UInt16
    let inbound: InboundShare

    private let offers = Mutex<QueuePairOffers>(QueuePairOffers())
    private let inboxes: [Inbox]
    private let requests = Mutex<[ControlRequest]>([])
    let waker: ConnectionWaker?
    let wakeShard: @Sendable (Int) -> Void
    /// All devices that were opened the last time, those too that nobody uses.
    private let opened = Mutex<[RDMADevice]>([])
    private let isStopping = Atomic<Bool>(false)
    private let hasStopped = Atomic<Bool>(false)

    /// One shard's news.
    private final class Inbox: Sendable {
        let hasNews = Atomic<Bool>(false)
        let news = Mutex<[ShardNews]>([])
    }

    /// A service on the devices of `sources`, those that can be used; `ranges` are each shard's
    /// memory, `configuration.memoryBytes` of the pool's arena. `network` is the server's own
    /// address.
    package init(
        devices sources: [any DeviceSource], network: RDMAAddress, port: UInt16,
        configuration: RDMAConfiguration, slabs: SlabPool, ranges: [ArenaRange],
        wakeShard: @escaping @Sendable (Int) -> Void
    ) {
        self.configuration = configuration
        self.port = port
        self.wakeShard = wakeShard
        arena = slabs.arena
        memories = ranges.map { RDMAMemory(range: $0) }
        counters = (0...ranges.count).map { _ in RDMACounters() }
        inboxes = ranges.map { _ in Inbox() }
        inbound = InboundShare(
            limit: max(
                slabs.slabCount / 4,
                slabs.slabs(for: ByteCount(UInt64(configuration.payloadLimitBytes)))))
        slots = sources.map { RDMADeviceSlot($0, network: network) }
        waker = try? ConnectionWaker()
        for slot in slots.indices { attach(slot) }
    }

    private static let attemptsOfNew = 100

    /// Has a slot get its device, if it is there.
    func attach(_ slot: Int) {
        let place = slots[slot]
        let now = ConnectionWaker.nanoseconds
        guard place.isDue(now: now) else { return }
        do throws(RDMAProblem) {
            try place.source.prepare()
        } catch {
            place.fail(error, now: now)
            return
        }
        let attempts = place.source.isNew ? Self.attemptsOfNew : 1
        for attempt in 1...attempts {
            let devices = RDMADevice.all()
            opened.withLock { $0 = devices }
            let isThere = place.attach(
                devices, arena: arena, completions: configuration.completions,
                shardCount: inboxes.count, now: now)
            if isThere, let end = place.end {
                tellAll(.came(slot, end))
                return
            }
            // What only time mends is due again at once.
            guard attempt < attempts, place.isDue(now: now) else { return }
            ConnectionWaker.pause(milliseconds: 20)
        }
    }

    /// Lets go of devices that are to be taken out and that nobody here uses: librdmacm opens all
    /// there are.
    func letGoOfOthers() {
        let used = slots.compactMap(\.device)
        opened.withLock { opened in
            opened.removeAll { device in
                if device.isThere { return false }
                if !used.contains(device) { device.letGo() }
                return true
            }
        }
    }

    // MARK: - How it is

    /// Whether some device can be reached, and what keeps RDMA from being whole, a problem each: of
    /// one look at the devices, so that RDMA without problems is active.
    package var condition: (isActive: Bool, problems: [RDMAProblem]) {
        let facts = slots.map(\.facts)
        var problems: [RDMAProblem] = []
        for case let problem? in facts.map(\.impairment) where !problems.contains(problem) {
            problems.append(problem)
        }
        return (facts.contains(where: \.isUsable), problems)
    }

    /// True while some device can be reached.
    package var isActive: Bool { condition.isActive }

    /// What keeps RDMA from being whole; empty when nothing does.
    package var problems: [RDMAProblem] { condition.problems }

    /// The devices in use, each with its addresses and the bytes of its packets.
    package var devices: [String] {
        slots.map(\.facts).filter(\.isUsable).map {
            "\($0.name ?? "") (\($0.addresses.map(\.description).joined(separator: " ")), "
                + "packets of \($0.packetBytes) bytes)"
        }
    }

    /// Where clients may connect to.
    var addresses: [RDMAAddress] {
        Array(slots.map(\.facts).filter(\.isUsable).flatMap(\.addresses).prefix(16))
    }

    /// The sum over shards and control thread.
    package func count(_ counter: RDMACounter) -> UInt64 {
        counters.reduce(0) { $0 + $1.value(counter) }
    }

    /// Leases that were begun and aren't over.
    package var activeLeases: UInt64 {
        // In this order: one that ends meanwhile must not be missing from those that began.
        let ended = count(.endedLeases)
        return count(.grantedLeases) - ended
    }

    /// For the control thread.
    var controlCounters: RDMACounters { counters[counters.count - 1] }

    /// Has the control thread end everything: when all shards have ended, once.
    package func stop() {
        isStopping.store(true, ordering: .releasing)
        waker?.wake()
    }

    var mustStop: Bool { isStopping.load(ordering: .acquiring) }

    func setStopped() { hasStopped.store(true, ordering: .releasing) }

    /// The control thread has ended.
    package var isStopped: Bool { hasStopped.load(ordering: .acquiring) }

    // MARK: - Offers

    /// Makes an offer and returns its name and the nonce.
    func open(
        _ place: QueuePairPlace, secret: Secret?, expires: Instant
    ) -> (offer: UInt64, nonce: QueuePairNonce) {
        var generator = SystemRandomNumberGenerator()
        let nonce = QueuePairNonce(using: &generator)
        let offer = offers.withLock {
            $0.open(
                place, nonce: nonce, secret: secret, expires: expires,
                drawing: { generator.next() })
        }
        return (offer, nonce)
    }

    /// Takes an offer back; false when a client has taken it.
    func withdraw(_ offer: UInt64) -> Bool { offers.withLock { $0.take(offer) != nil } }

    /// Judges the private data of somebody who asks for a connection.
    func admit(_ privateData: [UInt8], now: Instant) -> QueuePairAdmission {
        offers.withLock { $0.admit(privateData, now: now) }
    }

    // MARK: - News

    /// About the queue pair at `place`, to its shard.
    func tell(_ news: QueuePairNews, _ place: QueuePairPlace) {
        tell(.plain(news), shard: place.shard)
    }

    /// A client has come to its shard.
    func connected(_ place: QueuePairPlace, _ new: NewQueuePair, _ connection: RDMAConnection) {
        tell(.connected(place, new, connection), shard: place.shard)
    }

    /// To all shards.
    func tellAll(_ news: ShardNews) {
        for shard in inboxes.indices { tell(news, shard: shard) }
    }

    /// To a shard, which is woken.
    private func tell(_ news: ShardNews, shard: Int) {
        inboxes[shard].news.withLock { $0.append(news) }
        inboxes[shard].hasNews.store(true, ordering: .releasing)
        wakeShard(shard)
    }

    /// All news of a shard since the last time.
    func news(of shard: Int) -> [ShardNews] {
        guard inboxes[shard].hasNews.exchange(false, ordering: .acquiring) else { return [] }
        return inboxes[shard].news.withLock { news in
            defer { news.removeAll(keepingCapacity: true) }
            return news
        }
    }

    /// Has the control thread do something that may block.
    func ask(_ request: ControlRequest) {
        requests.withLock { $0.append(request) }
        waker?.wake()
    }

    func takeRequests() -> [ControlRequest] {
        requests.withLock { requests in
            defer { requests.removeAll(keepingCapacity: true) }
            return requests
        }
    }
}

#endif
