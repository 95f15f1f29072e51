// ShardQueuePairs: a shard's side of the RDMA service, as the port that RDMATransport works
// through: its connections, its completion queues, and one descriptor for all of these.
//
// Always holds: confined to the shard's thread; a connection is the shard's from the news of its
// client until its end is asked for, and a device's queues from its coming until it is forgotten.
//
// One of the files that may say `unsafe`.

#if Verbs

package import Engine
package import QueuePairs
internal import Verbs
package import Wire

/// A shard's queue pairs on network cards.
package final class ShardQueuePairs: QueuePairFabric {
    private let service: RDMAService
    private let shard: Int
    private let arena: Arena
    /// Per place of a queue pair.
    private var connections: [RDMAConnection?]
    /// Per slot: its device as long as it is used here.
    private var ends: [RDMADeviceEnd?]
    /// Readable while one of the queues has a notice; nil without a descriptor to be had.
    private let notices = try? CompletionSet()

    private init(_ service: RDMAService, shard: Int) {
        self.service = service
        self.shard = shard
        arena = service.arena
        connections = (0..<service.configuration.queuePairs).map { _ in nil }
        ends = service.slots.map { _ in nil }
    }

    /// The transport of shard `shard`, and the descriptors that become readable when it has
    /// something to look at.
    package static func transport(
        of service: RDMAService, shard: Int, slabs: SlabPool, cells: ShardCells
    ) -> (transport: RDMATransport, descriptors: [Int32]) {
        let fabric = ShardQueuePairs(service, shard: shard)
        let transport = RDMATransport(
            fabric, shard: shard, slabs: slabs, memory: service.memories[shard], cells: cells)
        return (transport, fabric.notices.map { [$0.descriptor] } ?? [])
    }

    // MARK: - What the service knows

    package var configuration: RDMAConfiguration { service.configuration }
    package var inbound: InboundShare { service.inbound }
    package var deviceCount: Int { service.slots.count }
    package var problem: String? { service.problems.first?.description }
    package var port: UInt16 { service.port }
    package var addresses: [DeviceAddress] {
        service.addresses.map { DeviceAddress(words: $0.words) }
    }
    package var now: Instant { Instant(nanoseconds: ConnectionWaker.nanoseconds) }

    package func count(_ amount: UInt64, as counter: RDMACounter) {
        service.counters[shard].add(amount, to: counter)
    }

    package func open(
        _ place: QueuePairPlace, secret: Secret?, expires: Instant
    ) -> (offer: UInt64, nonce: QueuePairNonce) {
        service.open(place, secret: secret, expires: expires)
    }

    package func withdraw(_ offer: UInt64) -> Bool { service.withdraw(offer) }

    // MARK: - News and requests

    package func takeNews() -> [QueuePairNews] {
        service.news(of: shard).map {
            switch $0 {
            case .plain(let news): return news
            case .connected(let place, let new, let connection):
                connections[place.slot] = connection
                return .connected(place, new)
            case .came(let slot, let end):
                ends[slot] = end
                return .came(device: slot)
            }
        }
    }

    package func ask(_ request: QueuePairRequest) {
        switch request {
        case .end(let place):
            guard let connection = connections[place.slot].take() else {
                preconditionFailure("the end of a queue pair that isn't there")
            }
            service.ask(.end(connection, place))
        case .expose(let lease, let ranges, let access):
            service.ask(.expose(lease, ranges, access))
        case .revoke(let lease): service.ask(.revoke(lease))
        case .released(let device): service.ask(.released(slot: device))
        }
    }

    // MARK: - Completions

    package func use(device: Int) throws(QueuePairFailure) {
        guard let end = ends[device] else { return }
        try attempt { () throws(VerbsError) in try notices?.add(end.queues[shard]) }
    }

    package func forget(device: Int) {
        guard let end = ends[device].take() else { return }
        notices?.remove(end.queues[shard])
    }

    package func poll(
        device: Int, _ take: (QueuePairCompletion) -> Void
    ) throws(QueuePairFailure) -> Int {
        guard let queue = ends[device]?.queues[shard] else { return 0 }
        return try attempt { () throws(VerbsError) in
            try queue.poll {
                take(
                    QueuePairCompletion(
                        workID: $0.workID, isSuccess: $0.status.isSuccess,
                        isFlushed: $0.status.isFlushed, receivedBytes: $0.receivedBytes))
            }
        }
    }

    package func arm(device: Int) throws(QueuePairFailure) {
        guard let queue = ends[device]?.queues[shard] else { return }
        try attempt { () throws(VerbsError) in try queue.arm() }
    }

    private func attempt<Value>(
        _ call: () throws(VerbsError) -> Value
    ) throws(QueuePairFailure) -> Value {
        do throws(VerbsError) {
            return try call()
        } catch {
            throw QueuePairFailure()
        }
    }

    // MARK: - Work

    package func post(
        _ work: borrowing InlineArray<16, QueuePairWork>, count: Int, slot: Int
    ) throws(QueuePairFailure) {
        guard let connection = connections[slot] else { throw QueuePairFailure() }
        var plain = InlineArray<16, RDMAWork>(
            repeating: RDMAWork(
                kind: .send, workID: 0, isSignalled: false, localAddress: 0, localKey: 0,
                lengthBytes: 0))
        for index in 0..<count { plain[index] = self.plain(work[index]) }
        do throws(VerbsError) {
            unsafe try connection.post(plain, count: count)
        } catch {
            throw QueuePairFailure()
        }
    }

    private func plain(_ work: QueuePairWork) -> RDMAWork {
        let kind: RDMAWork.Kind =
            switch work.kind {
            case .send: .send
            case .read: .read
            case .write: .write
            }
        return RDMAWork(
            kind: kind, workID: work.workID, isSignalled: work.isSignalled,
            localAddress: unsafe UInt64(UInt(bitPattern: arena.bytes(work.local).baseAddress)),
            localKey: work.localKey, lengthBytes: UInt32(work.local.length.rawValue),
            remoteAddress: work.remoteAddress, remoteKey: work.remoteKey)
    }

    package func postReceive(
        into memory: ArenaRange, localKey: UInt32, workID: UInt64, slot: Int
    ) throws(QueuePairFailure) {
        guard let connection = connections[slot] else { throw QueuePairFailure() }
        do throws(VerbsError) {
            unsafe try connection.postReceive(
                into: arena.bytes(memory), localKey: localKey, workID: workID)
        } catch {
            throw QueuePairFailure()
        }
    }
}

#endif
