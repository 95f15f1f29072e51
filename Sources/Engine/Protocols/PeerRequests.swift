// PeerRequests: operations done for other shards, on the drives of this one.
//
// Always holds: they have places of their own in the operation table, so that shards whose tables
// are full of each other's work go on; none of them asks a third shard; each is answered once, when
// nothing of it is in flight any more. What a shard asks of a drive of its own beside an operation
// goes the same way, without a mailbox and in one of its own places.

import Wire

/// The operation of another shard that one is done for.
struct Caller: Sendable {
    var shard: ShardIndex
    var operation: OperationIndex
    var item: UInt32
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Takes as many requests of other shards as there are places for.
    mutating func takePeerRequests() {
        guard peers.count > 1, phase == .serving || phase == .draining else { return }
        for offset in 0..<peers.count {
            // Another one first in each step, so that none is always the last.
            let number = (offset + nextPeer) % peers.count
            if number == Int(place.shard.rawValue) { continue }
            let peer = ShardIndex(UInt8(number))
            let box = place.post.requests(from: peer, to: place.shard)
            while operations.hasRoomForPeers, let request = box.receive() {
                hasWorked = true
                admit(request, from: peer)
            }
        }
        nextPeer = (nextPeer + 1) % peers.count
    }

    private mutating func admit(_ request: PeerRequest, from peer: ShardIndex) {
        let index = operations.takeForPeer(request.kind.operationKind)
        describe(index, request, from: peer)
        operations.append(index, to: &ready)
    }

    /// Tells a fresh operation what it is asked to do, and by whom.
    mutating func describe(
        _ index: OperationIndex, _ request: PeerRequest, from peer: ShardIndex
    ) {
        operations[index].caller = Caller(
            shard: peer, operation: request.operation, item: request.item)
        operations[index].deadline = request.deadline
        operations[index].arrival = request.arrival
        operations[index].key = request.key
        operations[index].drive = request.drive
        operations[index].entry.key = request.key
        operations[index].entry.lengthBytes = request.lengthBytes
        operations[index].entry.checksum = request.checksum
        operations[index].payload = request.payload
        operations[index].payloadOffset = request.payloadOffset
        operations[index].replacesStray = request.replacesStray
        operations[index].versionFloor = request.versionFloor
        operations[index].isPlanned = operations[index].kind == .get && request.payload != nil
        operations[index].admittedBytes = request.admittedBytes
        if case .removeOlder(let bound) = request.kind {
            operations[index].reason = .superseded
            operations[index].entry.version = bound
        }
    }

    /// Looks up one key for another shard.
    mutating func advancePeerLookup(_ index: OperationIndex) {
        if giveUpEarly(index) { return }
        switch lookUp(index) {
        case .waiting: return
        case .absent: finish(index, .notFound)
        case .unavailable: finish(index, .driveUnavailable)
        case .found(let entry):
            operations[index].entry = entry
            finish(index, .ok)
        }
    }

    /// Tells the caller of `index` how it ended; slabs that a get has read into go with it.
    mutating func reply(_ index: OperationIndex, to caller: Caller, _ status: Status) {
        var reply = PeerReply(operation: caller.operation, item: caller.item, status: status)
        if status == .ok {
            reply.lengthBytes = operations[index].entry.lengthBytes
            reply.checksum = operations[index].entry.checksum
            reply.version = operations[index].entry.version
            if operations[index].kind == .get, let lease = operations[index].lease.take() {
                reply.payload = lease.handOver()
            }
        }
        reply.elsewhere = operations[index].elsewhere
        if caller.shard == place.shard {
            take(reply)
            return
        }
        place.post.replies(from: place.shard, to: caller.shard).send(reply)
        wake(caller.shard)
    }
}
