// The reference server's operations on its dictionary, and the shapes of its frames.

import Client
import Wire

/// A request, whole.
struct ReferenceRequest {
    var header: FrameHeader
    var body: [UInt8]
    var payload: [UInt8]

    static func words(_ bytes: [UInt8]) -> [UInt64] {
        stride(from: 0, to: bytes.count, by: 8).map { start in
            (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << (8 * UInt64($1)) }
        }
    }

    static func bytes(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
        }
    }

    static func bytes(_ header: FrameHeader) -> [UInt8] {
        bytes((0..<FrameHeader.wordCount).map { header.words[$0] })
    }

    /// Items of `size` bytes each, or nil when the body is no whole number of them.
    func items(of size: UInt32) -> [[UInt64]]? {
        guard !body.isEmpty, body.count % Int(size) == 0 else { return nil }
        let words = Self.words(body)
        let perItem = Int(size) / 8
        return stride(from: 0, to: words.count, by: perItem).map { Array(words[$0..<$0 + perItem]) }
    }

    func key(_ item: [UInt64]) -> BlockKey {
        BlockKey(
            namespace: header.namespace, littleEndianWords: [item[0], item[1], item[2], item[3]])
    }
}

/// An answer, whole.
struct ReferenceResponse {
    var status = Status.ok
    var body: [UInt64] = []
    var payload: [UInt8] = []
    var checksum: UInt64 = 0
}

enum ReferenceStore {
    typealias Table = [BlockKey: ReferenceServer.Stored]

    static func checksum(_ bytes: [UInt8]) -> UInt64 { OwnedBytes(bytes).source.xxh3 }

    static func respond(
        to request: ReferenceRequest, table: inout Table, behaviour: Behaviour
    ) -> ReferenceResponse {
        let itemBytes =
            request.header.operation == .tcpBatchPut
            ? BodyLayout.batchPutItemBytes : BodyLayout.keyBytes
        guard let items = request.items(of: itemBytes) else {
            return ReferenceResponse(status: .invalidRequest)
        }
        let keys = items.map(request.key)
        switch request.header.operation {
        case .connect, .authenticate, .write, .read, .batchWrite, .batchRead, .rdmaOpen,
            .allocate, .commit, .lookup, .release:
            return ReferenceResponse(status: .invalidRequest)
        case .exists:
            return ReferenceResponse(
                body: keys.map { UInt64((table[$0] == nil ? Status.notFound : .ok).rawValue) })
        case .tcpDelete:
            return ReferenceResponse(status: remove(keys[0], from: &table))
        case .tcpBatchDelete:
            return ReferenceResponse(body: keys.map { UInt64(remove($0, from: &table).rawValue) })
        case .stat:
            guard let stored = table[keys[0]] else { return ReferenceResponse(status: .notFound) }
            return ReferenceResponse(
                body: [UInt64(stored.value.count), checksum(stored.value), stored.version])
        case .tcpPut:
            return ReferenceResponse(
                status: put(
                    request.payload, checksum: request.header.payloadChecksum, key: keys[0],
                    into: &table))
        case .tcpBatchPut:
            return putBatch(request, items: items, table: &table)
        case .tcpGet:
            guard var value = table[keys[0]]?.value else {
                return ReferenceResponse(status: .notFound)
            }
            if behaviour.answersWithOtherValues { value[0] ^= 1 }
            return ReferenceResponse(payload: value, checksum: checksum(value))
        case .tcpBatchGet:
            return getBatch(keys, table: table, behaviour: behaviour)
        }
    }

    private static func remove(_ key: BlockKey, from table: inout Table) -> Status {
        table.removeValue(forKey: key) == nil ? .notFound : .ok
    }

    private static func put(
        _ value: [UInt8], checksum expected: UInt64, key: BlockKey, into table: inout Table
    ) -> Status {
        guard !value.isEmpty else { return .invalidRequest }
        guard checksum(value) == expected else { return .checksumMismatch }
        table[key] = .init(value: value, version: (table[key]?.version ?? 0) + 1)
        return .ok
    }

    private static func putBatch(
        _ request: ReferenceRequest, items: [[UInt64]], table: inout Table
    ) -> ReferenceResponse {
        var response = ReferenceResponse()
        var start = 0
        for item in items {
            let length = Int(UInt32(truncatingIfNeeded: item[4]))
            guard start + length <= request.payload.count else {
                return ReferenceResponse(status: .invalidRequest)
            }
            let value = Array(request.payload[start..<start + length])
            let status = put(value, checksum: item[5], key: request.key(item), into: &table)
            response.body.append(UInt64(status.rawValue))
            start = Int(
                BodyLayout.nextBatchOffset(after: UInt64(start), lengthBytes: UInt32(length)))
        }
        return response
    }

    private static func getBatch(
        _ keys: [BlockKey], table: Table, behaviour: Behaviour
    ) -> ReferenceResponse {
        var response = ReferenceResponse()
        for key in keys {
            guard let value = table[key]?.value else {
                response.body += [UInt64(Status.notFound.rawValue), 0]
                continue
            }
            let start = Int(
                BodyLayout.nextBatchOffset(after: UInt64(response.payload.count), lengthBytes: 0))
            guard start + value.count <= Int(behaviour.payloadLimitBytes) else {
                response.body += [UInt64(Status.tooLarge.rawValue), 0]
                continue
            }
            response.payload += [UInt8](repeating: 0, count: start - response.payload.count)
            response.payload += value
            let failed = key == behaviour.failsToReadInBatches
            response.body += [
                UInt64((failed ? Status.notFound : .ok).rawValue) | UInt64(value.count) << 32,
                checksum(value),
            ]
        }
        if behaviour.padsBatches {
            let end = BodyLayout.nextBatchOffset(
                after: UInt64(response.payload.count), lengthBytes: 0)
            response.payload += [UInt8](repeating: 0, count: Int(end) - response.payload.count)
        }
        return response
    }
}
