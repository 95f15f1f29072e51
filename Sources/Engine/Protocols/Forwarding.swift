// Forwarding: an operation whose key belongs to another shard, as seen by the shard that has its
// client.
//
//   begun ──► forwarded ──reply──► finished as the other shard says
//     └─ as many requests with that shard as there may be: waits for one of them to end
//
// Always holds: what was sent is waited for, however late, because the other shard may be working
// in this operation's memory; its client is answered by the deadline all the same. Whether a change
// that was sent has happened isn't known before the reply: late, it is `outcomeUnknown`.

import Wire

/// What a shard keeps of another one.
struct Peer: Sendable {
    /// Requests sent and not yet answered.
    var outstanding = 0
    /// Operations that wait until they may send one.
    var waiters = WaitQueue()
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Whether the key of `index` belongs to another shard.
    func isForeign(_ index: OperationIndex) -> Bool { operations[index].shard != place.shard }

    /// Sends a put, a get or a removal to the shard that has its key.
    mutating func forward(_ index: OperationIndex) {
        guard case .begun = operations[index].state else {
            preconditionFailure("a forwarded operation resumed in \(operations[index].state)")
        }
        if giveUpEarly(index) { return }
        let kind: PeerRequest.Kind =
            switch operations[index].kind {
            case .put: .put
            case .get: .get
            case .remove: .remove
            case .lookups, .batchGet, .batchPut, .batchDelete, .peerLookup, .evictor:
                preconditionFailure("a \(operations[index].kind) is not forwarded whole")
            }
        if operations[index].kind == .get, !operations[index].isPlanned,
            operations[index].admittedBytes == 0
        {
            let expected = operations[index].request?.expectedResponseBytes ?? 1
            guard isAdmitted(index, lengthBytes: expected) else { return }
            operations[index].admittedBytes = expected
        }
        let home = DriveHome(shard: operations[index].shard, drive: operations[index].drive)
        guard ask(kind, for: index, item: 0, at: home) else { return }
        operations[index].state = .forwarded
        operations[index].handedOver = now
    }

    /// Sends a request about the key that `index` has now to the shard that has `home`; false when
    /// `index` must wait for that.
    mutating func ask(
        _ kind: PeerRequest.Kind, for index: OperationIndex, item: UInt32, at home: DriveHome
    ) -> Bool {
        let peer = home.shard
        guard peers[Int(peer.rawValue)].outstanding < place.post.requestLimit else {
            operations.append(index, to: &peers[Int(peer.rawValue)].waiters)
            return false
        }
        peers[Int(peer.rawValue)].outstanding += 1
        place.post.requests(from: place.shard, to: peer).send(
            request(kind, for: index, item: item, at: home))
        wake(peer)
        return true
    }

    /// A request about the key that `index` has now.
    func request(
        _ kind: PeerRequest.Kind, for index: OperationIndex, item: UInt32, at home: DriveHome
    ) -> PeerRequest {
        let owner = operations[index].parent == .none ? index : operations[index].parent
        let bringsMemory: Bool =
            switch kind {
            case .put: true
            case .get: operations[index].isPlanned
            case .remove, .removeOlder, .lookup: false
            }
        return PeerRequest(
            kind: kind, operation: index, item: item, key: operations[index].key,
            drive: home.drive, deadline: operations[owner].deadline,
            arrival: operations[index].arrival,
            lengthBytes: operations[index].entry.lengthBytes,
            checksum: operations[index].entry.checksum,
            payload: bringsMemory ? payload(of: index) : nil,
            payloadOffset: operations[index].payloadOffset,
            replacesStray: operations[index].replacesStray,
            versionFloor: operations[index].versionFloor,
            admittedBytes: operations[index].admittedBytes)
    }

    /// Takes the replies of all other shards.
    mutating func takeReplies() {
        for number in 0..<peers.count where number != Int(place.shard.rawValue) {
            let peer = ShardIndex(UInt8(number))
            while let reply = place.post.replies(from: peer, to: place.shard).receive() {
                hasWorked = true
                peers[number].outstanding -= 1
                take(reply)
            }
            // One that gives up sends nothing, and so gets no reply that would wake the next.
            while peers[number].outstanding < place.post.requestLimit,
                let waiter = operations.popFirst(&peers[number].waiters)
            {
                operations.append(waiter, to: &ready)
                runReady()
            }
        }
    }

    mutating func take(_ reply: PeerReply) {
        let index = reply.operation
        precondition(operations[index].isActive, "a reply to an operation that has ended")
        switch operations[index].kind {
        case .put, .get, .remove:
            if let leg = operations[index].lead?.leg, leg != .main {
                legEnded(index, reply)
                return
            }
            precondition(operations[index].state == .forwarded, "a reply nobody waits for")
            if operations[index].kind == .get, !operations[index].isPlanned, reply.status == .ok,
                reply.payload == nil
            {
                askForMore(index, reply.lengthBytes)
                return
            }
            if let slabs = reply.payload {
                operations[index].lease = memory.slabs.adopt(slabs)
                operations[index].payload = slabs
                operations[index].entry.lengthBytes = reply.lengthBytes
                operations[index].entry.checksum = reply.checksum
            }
            if operations[index].kind == .put {
                operations[index].entry.version = reply.version
                operations[index].elsewhere = reply.elsewhere
            }
            finish(index, reply.status)
        case .lookups, .batchGet: lookedUpElsewhere(index, reply)
        case .batchPut, .batchDelete, .peerLookup, .evictor:
            preconditionFailure("a reply to a \(operations[index].kind)")
        }
    }

    /// The other shard found a value that is longer than its client's session had room for: sends
    /// the get again once it has, and meanwhile leaves the request to the transport.
    private mutating func askForMore(_ index: OperationIndex, _ lengthBytes: UInt32) {
        operations[index].state = .begun
        operations[index].admittedBytes = UInt64(lengthBytes)
        guard isAdmitted(index, lengthBytes: UInt64(lengthBytes)) else { return }
        operations.append(index, to: &ready)
    }

    // MARK: Waking

    mutating func wake(_ peer: ShardIndex) { peersToWake |= 1 << UInt64(peer.rawValue) }

    mutating func wakeAllPeers() {
        for number in 0..<peers.count where number != Int(place.shard.rawValue) {
            wake(ShardIndex(UInt8(number)))
        }
    }

    /// The shards that something was sent to since the last call, as bits: to be woken if they
    /// sleep.
    package mutating func takePeersToWake() -> UInt64 {
        defer { peersToWake = 0 }
        return peersToWake
    }

    /// Something from another shard is waiting for the next step.
    package var hasNews: Bool {
        if place.post.roster.epoch != seenEpoch { return true }
        for number in 0..<peers.count where number != Int(place.shard.rawValue) {
            let peer = ShardIndex(UInt8(number))
            if !place.post.replies(from: peer, to: place.shard).isEmpty { return true }
            if operations.hasRoomForPeers,
                !place.post.requests(from: peer, to: place.shard).isEmpty
            {
                return true
            }
        }
        return false
    }
}
