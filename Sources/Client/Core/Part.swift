// Part: the items of one request that belong to one server and wait to be sent, or are under way.
//
// Always holds: an item of a request is in one part, or has ended. A frame carries what the
// server's limits allow, and no more than `frameBytes` of values unless one alone is larger, so
// that a large batch uses every connection and doesn't stand long in a small request's way.

internal import Wire

struct Part {
    /// The request's place in the table.
    let slot: Int
    /// Indices into the request's items; 0 for a request of one key.
    var items: ArraySlice<Int>
    /// Not to be sent earlier.
    var notBefore = MonotonicTime(nanoseconds: 0)
    /// Refusals for now in a row.
    var refusedCount = 0
    var lastRefusal: Status?
    var damagedCount = 0
    /// An attempt ended without anybody knowing whether it was carried out.
    var mayHaveHappened = false
    /// One item a frame: an answer had no room for any.
    var itemsTravelAlone = false

    static let frameBytes: UInt64 = 4 << 20

    init(slot: Int, items: ArraySlice<Int>) {
        self.slot = slot
        self.items = items
    }

    /// The same history with other items.
    func with(_ items: [Int]) -> Part {
        var part = self
        part.items = items[...]
        return part
    }

    /// Takes items off the front, as many as go into one frame; at least one. Nil when the first is
    /// too large for the server by itself: then it alone has been taken off.
    mutating func takeFrame(of request: ClientRequest, limits: ConnectResponse) -> Part? {
        let budget = max(
            min(UInt64(limits.payloadLimitBytes), Self.frameBytes),
            UInt64(limits.valueLimitBytes))
        let bodyItems = Int(limits.bodyLimitBytes / request.bodyBytesPerItem)
        let most = itemsTravelAlone ? 1 : max(1, min(Int(limits.batchLimit), bodyItems))
        guard let first = items.first else { preconditionFailure("a part of no items") }
        let namespace = request.key(at: first).namespace
        var taken: [Int] = []
        var end: UInt64 = 0
        while let item = items.first, taken.count < most {
            let bytes = UInt64(request.payloadBytes(of: item, limits: limits))
            let newEnd = BodyLayout.nextBatchOffset(after: end, lengthBytes: 0) + bytes
            let fits =
                request.key(at: item).namespace == namespace
                && (taken.isEmpty || newEnd <= budget && newEnd <= Self.frameBytes)
            guard fits else { break }
            if request.isPut, bytes > UInt64(limits.valueLimitBytes) {
                if taken.isEmpty {
                    items.removeFirst()
                    return nil
                }
                break
            }
            items.removeFirst()
            taken.append(item)
            end = newEnd
        }
        return with(taken)
    }
}

extension ClientRequest {
    var isPut: Bool {
        switch self {
        case .put, .putBatch: true
        default: false
        }
    }

    var isBatchGet: Bool { if case .getBatch = self { true } else { false } }

    /// 1 for a request of one key.
    var itemCount: Int { batchCount ?? 1 }

    func key(at item: Int) -> BlockKey {
        switch self {
        case .put(let put): put.key
        case .get(let get): get.key
        case .delete(let key), .stat(let key): key
        case .exists(let keys), .deleteBatch(let keys): keys[item]
        case .putBatch(let items): items[item].key
        case .getBatch(let items): items[item].key
        }
    }

    /// Bytes of an item in a request's body.
    fileprivate var bodyBytesPerItem: UInt32 {
        isPut ? BodyLayout.batchPutItemBytes : BodyLayout.keyBytes
    }

    /// Bytes that an item's value takes on its way, in either direction.
    fileprivate func payloadBytes(of item: Int, limits: ConnectResponse) -> Int {
        switch self {
        case .put(let put): put.value.count
        case .putBatch(let items): items[item].value.count
        case .getBatch(let items):
            min(items[item].destination.count, Int(limits.valueLimitBytes))
        case .get, .delete, .stat, .exists, .deleteBatch: 0
        }
    }

    /// The request for some of its items: of one, the operation for a single key, where there is
    /// one.
    func restricted(to items: ArraySlice<Int>) -> ClientRequest {
        guard batchCount != nil else { return self }
        let only = items.count == 1 ? items.first : nil
        switch self {
        case .put, .get, .delete, .stat: return self
        case .exists(let keys): return .exists(items.map { keys[$0] })
        case .putBatch(let puts):
            if let only { return .put(puts[only]) }
            return .putBatch(items.map { puts[$0] })
        case .getBatch(let gets):
            if let only { return .get(gets[only]) }
            return .getBatch(items.map { gets[$0] })
        case .deleteBatch(let keys):
            if let only { return .delete(keys[only]) }
            return .deleteBatch(items.map { keys[$0] })
        }
    }
}

extension RequestOutcome {
    /// What it says of the item at `position` of the frame.
    package func item(at position: Int) -> ItemOutcome {
        items.isEmpty ? ItemOutcome(status: status, valueBytes: valueBytes) : items[position]
    }
}
