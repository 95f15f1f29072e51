// Bodies and payloads of responses: their shapes, and what they say about each item.

internal import Wire

/// One item of a TcpBatchGet's response.
private struct FetchedItem {
    var status: Status
    var lengthBytes: UInt32
    var checksum: UInt64

    /// Refuses a status or zero bytes that are none, and a length that doesn't go with the status.
    init(words: ArraySlice<UInt64>) throws(SessionFailure) {
        let first = words[words.startIndex]
        guard let status = Status(rawValue: UInt8(truncatingIfNeeded: first)),
            (first >> 8) & 0xFF_FFFF == 0
        else { throw .malformedResponse("an item's status that is none") }
        self.status = status
        lengthBytes = UInt32(truncatingIfNeeded: first >> 32)
        checksum = words[words.startIndex + 1]
        guard status != .ok || lengthBytes > 0 else {
            throw .malformedResponse("an item's value of no bytes")
        }
    }

    static func all(in body: [UInt64]) throws(SessionFailure) -> [FetchedItem] {
        var items: [FetchedItem] = []
        for start in stride(from: 0, to: body.count, by: 2) {
            items.append(try FetchedItem(words: body[start..<start + 2]))
        }
        return items
    }
}

enum ResponseDecoding {
    /// Length of the body of a response whose status is `ok`.
    static func bodyBytes(of request: ClientRequest) -> Int {
        switch request {
        case .put, .get, .delete: 0
        case .stat: Int(BodyLayout.statResponseBytes)
        case .exists(let keys), .deleteBatch(let keys):
            keys.count * Int(BodyLayout.statusItemBytes)
        case .putBatch(let items): items.count * Int(BodyLayout.statusItemBytes)
        case .getBatch(let items): items.count * Int(BodyLayout.batchGetItemBytes)
        }
    }

    /// Where the payload of an `ok` response goes. An item that failed after its place was planned
    /// keeps it.
    static func payloadSegments(
        of request: ClientRequest, header: FrameHeader, body: [UInt64]
    ) throws(SessionFailure) -> [PayloadSegment<DestinationBytes>] {
        switch request {
        case .get(let item):
            return [segment(for: item, lengthBytes: header.payloadBytes)]
        case .getBatch(let items):
            var segments: [PayloadSegment<DestinationBytes>] = []
            var end: UInt64 = 0
            for (item, fetched) in zip(items, try FetchedItem.all(in: body))
            where fetched.lengthBytes > 0 {
                let start = BodyLayout.nextBatchOffset(after: end, lengthBytes: 0)
                if start > end { segments.append(.padding(count: Int(start - end))) }
                segments.append(
                    fetched.status == .ok
                        ? segment(for: item, lengthBytes: fetched.lengthBytes)
                        : .padding(count: Int(fetched.lengthBytes)))
                end = start + UInt64(fetched.lengthBytes)
            }
            // A server may send the last value's padding too.
            let behind = UInt64(header.payloadBytes).subtractingReportingOverflow(end)
            if !behind.overflow, behind.partialValue > 0,
                UInt64(header.payloadBytes)
                    == BodyLayout.nextBatchOffset(after: end, lengthBytes: 0)
            {
                segments.append(.padding(count: Int(behind.partialValue)))
            }
            return segments
        case .exists, .putBatch, .deleteBatch:
            for word in body where word > UInt64(UInt8.max) || status(of: word) == nil {
                throw .malformedResponse("an item's status that is none")
            }
            return []
        case .put, .delete, .stat:
            return []
        }
    }

    /// Where the values are that an `ok` response over a queue pair tells of.
    static func remoteValues(
        of request: ClientRequest, header: FrameHeader, body: [UInt64]
    ) throws(SessionFailure) -> [PayloadSegment<DestinationBytes>] {
        var lengths: [(item: GetItem, lengthBytes: UInt32)] = []
        switch request {
        case .get(let item): lengths = [(item, header.payloadBytes)]
        case .getBatch(let items):
            for (item, fetched) in zip(items, try FetchedItem.all(in: body))
            where fetched.status == .ok { lengths.append((item, fetched.lengthBytes)) }
        default: return try payloadSegments(of: request, header: header, body: body)
        }
        // Memory of no bytes was exposed as one byte of nobody's.
        let areExposed = lengths.allSatisfy {
            Int($0.lengthBytes) <= max(1, $0.item.destination.count)
        }
        guard areExposed else {
            throw .malformedResponse("a value longer than the memory it was to be written to")
        }
        return lengths.map { segment(for: $0.item, lengthBytes: $0.lengthBytes) }
    }

    /// The outcome of a complete `ok` response; `checksums` are those of the values that were read.
    static func outcome(
        of request: ClientRequest, header: FrameHeader, body: [UInt64], checksums: [UInt64]
    ) -> RequestOutcome {
        var outcome = RequestOutcome(tag: RequestTag(header.requestID), status: .ok)
        switch request {
        case .put, .delete:
            break
        case .get(let item):
            let ended = itemOutcome(
                item, lengthBytes: header.payloadBytes, expected: header.payloadChecksum,
                actual: checksums.first)
            outcome.status = ended.status
            outcome.valueBytes = ended.valueBytes
        case .stat:
            outcome.facts = BlockFacts(
                lengthBytes: UInt32(truncatingIfNeeded: body[0]), checksum: body[1],
                version: body[2])
        case .exists, .putBatch, .deleteBatch:
            outcome.items = body.map { ItemOutcome(status: .ended(status(of: $0)!)) }
        case .getBatch(let items):
            outcome.items = batchOutcomes(items, body: body, checksums: checksums)
        }
        return outcome
    }

    private static func batchOutcomes(
        _ items: [GetItem], body: [UInt64], checksums: [UInt64]
    ) -> [ItemOutcome] {
        guard let fetched = try? FetchedItem.all(in: body) else {
            preconditionFailure("a batch's body was decoded before and can't be now")
        }
        var unused = checksums[...]
        return zip(items, fetched).map { item, fetched in
            guard fetched.status == .ok else {
                // Over a queue pair: longer than its memory, and so long.
                let isTooLong =
                    fetched.status == .tooLarge
                    && Int(fetched.lengthBytes) > item.destination.count
                return ItemOutcome(
                    status: isTooLong
                        ? .bufferTooSmall(neededBytes: fetched.lengthBytes)
                        : .ended(fetched.status))
            }
            let fits = Int(fetched.lengthBytes) <= item.destination.count
            return itemOutcome(
                item, lengthBytes: fetched.lengthBytes, expected: fetched.checksum,
                actual: fits ? unused.popFirst() : nil)
        }
    }

    private static func itemOutcome(
        _ item: GetItem, lengthBytes: UInt32, expected: UInt64, actual: UInt64?
    ) -> ItemOutcome {
        guard Int(lengthBytes) <= item.destination.count else {
            return ItemOutcome(status: .bufferTooSmall(neededBytes: lengthBytes))
        }
        guard actual == expected else {
            return ItemOutcome(status: .ended(.checksumMismatch))
        }
        return ItemOutcome(status: .ok, valueBytes: lengthBytes)
    }

    private static func segment(
        for item: GetItem, lengthBytes: UInt32
    ) -> PayloadSegment<DestinationBytes> {
        let length = Int(lengthBytes)
        return length <= item.destination.count
            ? .value(item.destination.slice(from: 0, count: length)) : .padding(count: length)
    }

    private static func status(of word: UInt64) -> Status? {
        Status(rawValue: UInt8(truncatingIfNeeded: word))
    }
}
