// The bodies of requests and responses: their lengths and the places of their fields, in one table.
//
// Always holds: every body is a whole number of 8-byte little-endian words, so both sides read and
// write words and nothing else. Batch payloads start each value at a multiple of
// `batchAlignmentBytes`.
//
//   Connect      request   [highest version u16, lowest version u16, zero u32]              8
//                          with a key, behind it: [key id][nonce 32]                       48
//                response  [version u16, options u16, batch limit u32]                     40
//                          [body limit u32, payload limit u32]
//                          [value limit u32, requests in flight u32][store id, 2 words]
//                          with a key, behind it: [nonce 32][server's proof 32]           104
//   Authenticate request   [client's proof 32]                                             32
//   one key      request   [key 32]      TcpPut, TcpGet, TcpDelete, Stat                   32
//   Stat         response  [length u32, zero u32][checksum][version]                       24
//   key batch    request   [key 32] × n  Exists, TcpBatchGet, TcpBatchDelete               32 n
//   status batch response  [status u8, zero 7 bytes] × n                                   8 n
//                          Exists, TcpBatchDelete, TcpBatchPut
//   TcpBatchPut  request   [key 32][length u32, zero u32][checksum] × n                    48 n
//   TcpBatchGet  response  [status u8, zero 3 bytes, length u32][checksum] × n             16 n
//
// Requests over a queue pair name memory behind such a body: Remote/RemoteSegment.swift. RdmaOpen:
// Remote/QueuePairOffer.swift.

/// Lengths and counts shared by both ends.
package enum BodyLayout {
    package static let connectRequestBytes: UInt32 = 8
    package static let connectWithKeyRequestBytes: UInt32 = 48
    package static let connectResponseBytes: UInt32 = 40
    package static let connectWithKeyResponseBytes: UInt32 = 104
    package static let authenticateRequestBytes: UInt32 = 32
    package static let keyBytes: UInt32 = 32
    package static let statResponseBytes: UInt32 = 24
    package static let statusItemBytes: UInt32 = 8
    package static let batchPutItemBytes: UInt32 = 48
    package static let batchGetItemBytes: UInt32 = 16
    /// A batch payload starts each value at a multiple of this: what O_DIRECT asks of memory.
    package static let batchAlignmentBytes: UInt32 = 4096
    /// Most items in one batch.
    package static let batchLimit: UInt32 = 256
    /// Longest body of any request or response: a full TcpBatchPut.
    package static let bodyLimitBytes: UInt32 = batchPutItemBytes * batchLimit
    /// The same with memory behind it: a full BatchWrite.
    package static let remoteBodyLimitBytes: UInt32 =
        bodyLimitBytes + RemoteBodyShape.countBytes + RemoteSegment.byteCount * batchLimit

    /// The first place for the value after one of `lengthBytes` at `offset` in a batch payload.
    package static func nextBatchOffset(after offset: UInt64, lengthBytes: UInt32) -> UInt64 {
        let alignment = UInt64(batchAlignmentBytes)
        return (offset + UInt64(lengthBytes) + alignment - 1) / alignment * alignment
    }
}

/// What a server tells a client in Connect's response.
package struct ConnectResponse: Hashable, Sendable {
    package var version: UInt16
    /// Every payload of the session has a tag of its own (bit 0 of the options).
    package var tagsPayloads = false
    package var batchLimit: UInt32
    package var bodyLimitBytes: UInt32
    package var payloadLimitBytes: UInt32
    package var valueLimitBytes: UInt32
    package var requestsInFlight: UInt32
    /// Random identity of the store, drawn when it was formatted.
    package var storeID: InlineArray<2, UInt64>

    package init(
        version: UInt16, batchLimit: UInt32, bodyLimitBytes: UInt32, payloadLimitBytes: UInt32,
        valueLimitBytes: UInt32, requestsInFlight: UInt32, storeID: InlineArray<2, UInt64>
    ) {
        self.version = version
        self.batchLimit = batchLimit
        self.bodyLimitBytes = bodyLimitBytes
        self.payloadLimitBytes = payloadLimitBytes
        self.valueLimitBytes = valueLimitBytes
        self.requestsInFlight = requestsInFlight
        self.storeID = storeID
    }

    package var words: InlineArray<5, UInt64> {
        [
            UInt64(version) | (tagsPayloads ? 1 << 16 : 0) | UInt64(batchLimit) << 32,
            UInt64(bodyLimitBytes) | UInt64(payloadLimitBytes) << 32,
            UInt64(valueLimitBytes) | UInt64(requestsInFlight) << 32,
            storeID[0], storeID[1],
        ]
    }

    package init(words: InlineArray<5, UInt64>) {
        version = UInt16(truncatingIfNeeded: words[0])
        tagsPayloads = words[0] >> 16 & 1 != 0
        batchLimit = UInt32(truncatingIfNeeded: words[0] >> 32)
        bodyLimitBytes = UInt32(truncatingIfNeeded: words[1])
        payloadLimitBytes = UInt32(truncatingIfNeeded: words[1] >> 32)
        valueLimitBytes = UInt32(truncatingIfNeeded: words[2])
        requestsInFlight = UInt32(truncatingIfNeeded: words[2] >> 32)
        storeID = [words[3], words[4]]
    }

    package static func == (left: ConnectResponse, right: ConnectResponse) -> Bool {
        for index in 0..<5 where left.words[index] != right.words[index] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        for index in 0..<5 { hasher.combine(words[index]) }
    }
}
