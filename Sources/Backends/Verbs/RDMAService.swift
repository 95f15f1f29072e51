// RDMAService: what all shards of a daemon and its RDMA control thread share: devices, offers that
// wait for their clients, and news in both directions.
//
// Always holds: an offer is taken once, by the first greeting that names it or by the shard that
// takes it back, whichever comes first; what the control thread tells a shard of a connection is
// there before any completion of that connection. A device that can't be used costs RDMA on it and
// nothing else. Nothing here ends before the process.

#if Verbs

package import Engine
internal import Synchronization
internal import Verbs
internal import Wire

/// Where a queue pair has its place.
struct QueuePairPlace: Hashable, Sendable {
    let shard: Int
    let slot: Int
    let generation: UInt32
}

/// A queue pair that a client may open.
struct QueuePairOpening: Sendable {
    let place: QueuePairPlace
    let nonce: QueuePairNonce
    let keys: QueuePairKeys
    let isSigned: Bool
    let expires: Instant
}

/// What the control thread tells a shard.
enum ShardNews: Sendable {
    /// A client has come: receives are posted, and requests may come.
    case connected(QueuePairPlace, NewQueuePair)
    /// A client has come, and its queue pair couldn't be made.
    case failed(QueuePairPlace)
    /// The connection is lost.
    case lost(QueuePairPlace)
    /// The queue pair is destroyed.
    case ended(QueuePairPlace)
    /// What became of a request about a lease of the queue pair.
    case lease(LeasePlace, LeaseOutcome)

    var place: QueuePairPlace {
        switch self {
        case .connected(let place, _), .failed(let place), .lost(let place), .ended(let place):
            place
        case .lease(let lease, _): lease.queuePair
        }
    }
}

/// A queue pair whose client has come.
struct NewQueuePair: Sendable {
    let connection: RDMAConnection
    /// Its device's place among the service's.
    let end: Int
    /// Names the memory of its messages to the device.
    let localKey: UInt32
    /// Its client moves its values by itself.
    let isForLeases: Bool
    let keys: QueuePairKeys
    let isSigned: Bool
}

/// What a shard asks of the control thread, which does it in this order.
enum ControlRequest: Sendable {
    /// To destroy a queue pair.
    case end(RDMAConnection, QueuePairPlace)
    /// To let a queue pair's client reach memory: for reading or for writing.
    case expose(LeasePlace, [ArenaRange], RemoteAccess)
    /// To take that back.
    case revoke(LeasePlace)
}

/// The service. Shared by the shards' threads and the control thread.
package final class RDMAService: Sendable {
    package let configuration: RDMAConfiguration
    /// One for each shard; the last one is the control thread's.
    let counters: [RDMACounters]
    let ends: [RDMADeviceEnd]
    let arena: Arena
    let memories: [RDMAMemory]
    let port: UInt16
    let inbound: InboundShare
    private let startProblems: [RDMAProblem]

    private let openings = Mutex<[UInt64: QueuePairOpening]>([:])
    private let nextOffer = Atomic<UInt64>(1)
    private let inboxes: [Inbox]
    private let requests = Mutex<[ControlRequest]>([])
    let waker: ConnectionWaker?
    let wakeShard: @Sendable (Int) -> Void
    private let isListening = Atomic<Bool>(false)

    /// One shard's news.
    private final class Inbox: Sendable {
        let hasNews = Atomic<Bool>(false)
        let news = Mutex<[ShardNews]>([])
    }

    /// A service on the devices called `names`, those that can be used; `ranges` are each shard's
    /// memory, `configuration.memoryBytes` of the pool's arena.
    package init(
        devices names: [String], port: UInt16, configuration: RDMAConfiguration, slabs: SlabPool,
        ranges: [ArenaRange], wakeShard: @escaping @Sendable (Int) -> Void
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
        var ends: [RDMADeviceEnd] = []
        var problems: [RDMAProblem] = []
        let found = RDMADevice.all()
        for name in names {
            do throws(RDMAProblem) {
                guard let device = found.first(where: { $0.name == name }) else {
                    let existing = RDMADevice.names
                    throw existing.isEmpty ? .noRDMA : .noSuchDevice(name, existing: existing)
                }
                ends.append(
                    try RDMADeviceEnd(
                        device, arena: slabs.arena, completions: configuration.completions,
                        shardCount: ranges.count))
            } catch {
                if !problems.contains(error) { problems.append(error) }
            }
        }
        self.ends = ends
        waker = try? ConnectionWaker()
        startProblems = problems
    }

    // MARK: - How it is

    /// True while some device can be reached.
    package var isActive: Bool {
        isListening.load(ordering: .relaxed) && ends.contains(where: \.isUsable)
    }

    /// What keeps RDMA from being whole; empty when nothing does.
    package var problems: [RDMAProblem] {
        startProblems
            + ends.filter { !$0.isUsable }.map {
                $0.isThere ? .portDown(device: $0.device.name) : .removed(device: $0.device.name)
            }
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

    func setListening() { isListening.store(true, ordering: .relaxed) }

    // MARK: - Offers

    /// Makes an offer and returns its name and the nonce.
    func open(
        _ place: QueuePairPlace, secret: Secret?, expires: Instant
    ) -> (offer: UInt64, nonce: QueuePairNonce) {
        let offer = nextOffer.add(1, ordering: .relaxed).oldValue
        var generator = SystemRandomNumberGenerator()
        let nonce = QueuePairNonce(using: &generator)
        let keys = QueuePairKeys(secret: secret, sessionID: offer, nonce: nonce)
        let opening = QueuePairOpening(
            place: place, nonce: nonce, keys: keys, isSigned: secret != nil, expires: expires)
        openings.withLock { $0[offer] = opening }
        return (offer, nonce)
    }

    /// Takes an offer; nil when it was taken before, or there is none.
    func take(_ offer: UInt64) -> QueuePairOpening? {
        openings.withLock { $0.removeValue(forKey: offer) }
    }

    // MARK: - News

    /// To a shard, which is woken.
    func tell(_ news: ShardNews) {
        let shard = news.place.shard
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
