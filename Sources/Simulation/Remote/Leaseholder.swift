// Leaseholder: a client that moves its values by itself, through leases of the server's memory.
//
//   put    waiting ─► Allocate asked ─► writes under way ─► Commit asked ─► ended
//   get    waiting ─► Lookup asked ─► reads under way ─► Release asked ─► compared, ended
//   other  waiting ─► asked ─► ended
//
// Always holds: a request ends once, by its deadline; one whose Commit or deletion may have reached
// the server when the queue pair was lost has an unknown outcome, every other begins anew by the
// next one; what is read counts with its checksum alone. A deadline that passes while the server
// may still act costs the queue pair.
//
// Told to, it misbehaves: it writes to leases that it has committed, keeps others and writes to
// them for as long as it can, or dies in the middle of its writes and lets them go on landing.

internal import Client
internal import Engine
internal import QueuePairs
internal import Sim
internal import Wire

/// One request of a leaseholder.
struct LeasedRequest {
    enum Stage { case waiting, asked, moving, ending }

    let tag: RequestTag
    let request: ClientRequest
    let checksum: UInt64
    let deadline: Instant
    var stage = Stage.waiting
    var notBefore = Instant(nanoseconds: 0)
    var lease: LeaseGrant?
    /// Its last transfer, among those of the queue pair.
    var lastMove = 0
    /// Of a value that was looked up.
    var found: (lengthBytes: UInt32, checksum: UInt64) = (0, 0)
    /// Nobody knows what becomes of it when the queue pair is lost now.
    var changes: Bool { stage == .ending && isPut || stage == .asked && isDelete }

    private var isPut: Bool { if case .put = request { true } else { false } }
    private var isDelete: Bool { if case .delete = request { true } else { false } }
}

final class Leaseholder {
    private unowned let world: World
    private let client: Int
    private var random: RandomStream
    private var requests: [LeasedRequest] = []
    private var outcomes: [RequestOutcome] = []
    private var nextTag: UInt64 = 1
    private var link: LeaseLink
    /// Late writes of a hundred chances.
    var lateWritePercent: UInt64 = 0
    /// It dies as soon as writes are under way.
    var isDoomed = false
    private(set) var isFatallyWriting = false

    init(client: Int, world: World, seed: UInt64) {
        self.client = client
        self.world = world
        random = RandomStream(seed: seed, name: "leaseholder")
        link = LeaseLink(client: client, world: world, seed: seed)
    }

    // MARK: Requests

    func submit(_ request: ClientRequest, checksums: [UInt64], deadline: Instant) -> RequestTag {
        let tag = RequestTag(nextTag)
        nextTag += 1
        requests.append(
            LeasedRequest(
                tag: tag, request: request, checksum: checksums.first ?? 0, deadline: deadline))
        return tag
    }

    func nextOutcome() -> RequestOutcome? { outcomes.isEmpty ? nil : outcomes.removeFirst() }

    var nextWake: Instant {
        var wake = link.nextWake(isWanted: !requests.isEmpty)
        for request in requests {
            wake = min(wake, request.deadline)
            if request.stage == .waiting, link.isOpen, request.notBefore > world.now {
                wake = min(wake, request.notBefore)
            }
        }
        return wake
    }

    /// Does everything that can be done now; true when anything was.
    func step() -> Bool {
        var moved = link.advance(isWanted: !requests.isEmpty)
        while let (header, body) = link.nextAnswer() {
            take(header, body)
            moved = true
        }
        if link.hasFailed { lose() }
        for place in requests.indices { moved = advance(place) || moved }
        expire()
        return moved || !outcomes.isEmpty
    }

    private func advance(_ place: Int) -> Bool {
        switch requests[place].stage {
        case .waiting:
            guard link.mayAsk, requests[place].notBefore <= world.now else { return false }
            begin(place)
            return true
        case .moving:
            guard link.endedMoves >= requests[place].lastMove, link.mayAsk else { return false }
            endMoves(place)
            return true
        case .asked, .ending: return false
        }
    }

    private func begin(_ place: Int) {
        requests[place].stage = .asked
        switch requests[place].request {
        case .put(let item):
            let length = UInt64(item.value.count)
            ask(place, .allocate, item.key.namespace, Self.words(item.key) + [length])
        case .get(let item): ask(place, .lookup, item.key.namespace, Self.words(item.key))
        case .delete(let key): ask(place, .tcpDelete, key.namespace, Self.words(key))
        case .stat(let key): ask(place, .stat, key.namespace, Self.words(key))
        case .exists(let keys):
            ask(place, .exists, keys[0].namespace, keys.flatMap(Self.words))
        case .putBatch, .getBatch, .deleteBatch:
            preconditionFailure("a leaseholder has no batches")
        }
    }

    private static func words(_ key: BlockKey) -> [UInt64] {
        let words = key.littleEndianWords
        return [words[0], words[1], words[2], words[3]]
    }

    private func ask(
        _ place: Int, _ operation: OperationCode, _ namespace: Namespace, _ body: [UInt64],
        payloadBytes: Int = 0, checksum: UInt64 = 0
    ) {
        let left = requests[place].deadline.microseconds(since: world.now)
        link.ask(
            FrameHeader(
                operation: operation, namespace: namespace,
                requestID: requests[place].tag.rawValue, bodyBytes: UInt32(body.count * 8),
                payloadBytes: UInt32(payloadBytes), payloadChecksum: checksum,
                deadlineMicroseconds: UInt32(clamping: max(1, left - left / 16))), body)
    }

    // MARK: Answers

    private func take(_ header: FrameHeader, _ body: [UInt64]) {
        guard let place = requests.firstIndex(where: { $0.tag.rawValue == header.requestID })
        else { return }
        if isToBeRepeated(place, header.status) {
            requests[place].stage = .waiting
            requests[place].lease = nil
            requests[place].notBefore = world.now.advanced(
                byMicroseconds: 500 + random.below(4000))
            return
        }
        switch requests[place].stage {
        case .asked where header.status == .ok: answered(place, header, body)
        case .ending: ended(place, header)
        default: end(place, .ended(header.status))
        }
    }

    /// Nothing was changed, and there may be room, or a lease, the next time.
    private func isToBeRepeated(_ place: Int, _ status: Status) -> Bool {
        switch status {
        case .busy, .shuttingDown, .unavailable: return true
        case .unknownLease:
            // A lease to read that is over by itself is as good as given back.
            guard case .get = requests[place].request else { return true }
            return requests[place].stage != .ending
        default: return false
        }
    }

    private func answered(_ place: Int, _ header: FrameHeader, _ body: [UInt64]) {
        switch requests[place].request {
        case .put(let item):
            guard let lease = grant(body, item.value.count) else { return link.fail() }
            requests[place].lease = lease
            requests[place].stage = .moving
            var offset = 0
            for segment in lease.segments {
                let count = Int(segment.lengthBytes)
                link.write(ValueMemory.source(item.value).copy(from: offset, count: count), segment)
                offset += count
            }
            requests[place].lastMove = link.postedMoves
            if isDoomed { isFatallyWriting = true }
            if random.chance(percent: lateWritePercent / 2) {
                dally(requests[place].tag, lease)
            }
        case .get(let item):
            guard let lease = grant(body, Int(header.payloadBytes)),
                Int(header.payloadBytes) <= item.destination.count
            else { return link.fail() }
            requests[place].lease = lease
            requests[place].stage = .moving
            requests[place].found = (header.payloadBytes, header.payloadChecksum)
            var offset = 0
            for segment in lease.segments {
                let count = Int(segment.lengthBytes)
                link.read(segment, into: item.destination.slice(from: offset, count: count))
                offset += count
            }
            requests[place].lastMove = link.postedMoves
        case .stat:
            guard body.count == 3 else { return link.fail() }
            var outcome = RequestOutcome(tag: requests[place].tag, status: .ok)
            outcome.facts = BlockFacts(
                lengthBytes: UInt32(truncatingIfNeeded: body[0]), checksum: body[1],
                version: body[2])
            end(place, outcome)
        case .exists(let keys):
            guard body.count == keys.count else { return link.fail() }
            var outcome = RequestOutcome(tag: requests[place].tag, status: .ok)
            outcome.items = body.map {
                let status = Status(rawValue: UInt8(truncatingIfNeeded: $0)) ?? .invalidRequest
                return ItemOutcome(status: .ended(status))
            }
            end(place, outcome)
        default: end(place, .ok)
        }
    }

    private func grant(_ body: [UInt64], _ byteCount: Int) -> LeaseGrant? {
        guard let lease = try? LeaseGrant(words: body),
            lease.segments.reduce(0, { $0 + Int($1.lengthBytes) }) == byteCount
        else { return nil }
        return lease
    }

    /// Its transfers are over.
    private func endMoves(_ place: Int) {
        guard let lease = requests[place].lease else { return }
        requests[place].stage = .ending
        switch requests[place].request {
        case .put(let item):
            ask(
                place, .commit, item.key.namespace, [lease.leaseID],
                payloadBytes: item.value.count, checksum: requests[place].checksum)
            if random.chance(percent: lateWritePercent) { writeLate(lease) }
        case .get(let item): ask(place, .release, item.key.namespace, [lease.leaseID])
        default: preconditionFailure("transfers of a request without values")
        }
    }

    private func writeLate(_ lease: LeaseGrant) {
        guard let segment = lease.segments.first else { return }
        let count = 1 + random.below(UInt64(segment.lengthBytes))
        let garbage = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 0x9D ^ 0x5A) }
        link.write(
            garbage,
            RemoteSegment(
                address: segment.address, remoteKey: segment.remoteKey,
                lengthBytes: UInt32(count)))
    }

    /// Keeps a lease and goes on writing to it, until the server takes it away.
    private func dally(_ tag: RequestTag, _ lease: LeaseGrant) {
        guard link.isOpen, let place = requests.firstIndex(where: { $0.tag == tag }),
            requests[place].lease?.leaseID == lease.leaseID, requests[place].stage == .moving
        else { return }
        requests[place].lastMove = .max
        writeLate(lease)
        world.schedule(.remote { [self] in dally(tag, lease) }, after: 50 + random.below(100))
    }

    /// Commit or Release is answered.
    private func ended(_ place: Int, _ header: FrameHeader) {
        guard case .get(let item) = requests[place].request else {
            return end(place, .ended(header.status))
        }
        let (length, checksum) = requests[place].found
        let bytes = item.destination.slice(from: 0, count: Int(length))
        guard bytes.source.xxh3 == checksum else { return end(place, .ended(.checksumMismatch)) }
        var outcome = RequestOutcome(tag: requests[place].tag, status: .ok)
        outcome.valueBytes = length
        end(place, outcome)
    }

    // MARK: Ends

    private func end(_ place: Int, _ status: OutcomeStatus) {
        var outcome = RequestOutcome(tag: requests[place].tag, status: status)
        if case .exists(let keys) = requests[place].request {
            outcome.items = keys.map { _ in ItemOutcome(status: status) }
        }
        end(place, outcome)
    }

    private func end(_ place: Int, _ outcome: RequestOutcome) {
        outcomes.append(outcome)
        requests.remove(at: place)
    }

    /// The queue pair is lost: what can't have happened begins anew.
    private func lose() {
        link.close()
        for place in requests.indices.reversed() {
            if requests[place].changes {
                end(place, .ended(.outcomeUnknown))
            } else {
                requests[place].stage = .waiting
                requests[place].lease = nil
            }
        }
    }

    private func expire() {
        let now = world.now
        guard requests.contains(where: { $0.deadline <= now }) else { return }
        if requests.contains(where: { $0.deadline <= now && $0.stage != .waiting }) { lose() }
        for place in requests.indices.reversed() where requests[place].deadline <= now {
            end(place, .ended(.deadlineExceeded))
        }
    }

    func close() {
        link.close()
        requests = []
        outcomes = []
    }

    /// Its machine is gone in the middle of its writes, which go on landing.
    func die() {
        let leases = requests.compactMap { request -> LeaseGrant? in
            guard case .put = request.request else { return nil }
            return request.lease
        }
        let last = 200 + random.below(3000)
        for lease in leases {
            for _ in 0..<8 {
                world.schedule(
                    .remote { [self] in writeLate(lease) }, after: random.below(last))
            }
        }
        link.die(afterMicroseconds: last)
        requests = []
        outcomes = []
        isFatallyWriting = false
        isDoomed = false
    }
}
