// RemoteSegment: stretches of a client's registered memory, as a request over a queue pair names
// them, and where they stand in its body.
//
// Always holds: a segment has at least one byte and doesn't run over the end of the address space;
// a body's length says how many items and segments it has, and the count that stands before the
// segments must say the same. Refuses anything else.
//
//   Write       [key 32]                                  [count u64][segment] × 1 to 16
//   Read        [key 32]                                  [count u64][segment] × 1 to 16
//   BatchWrite  [key 32][length u32, zero u32][checksum] × n   [count u64][segment] × n
//   BatchRead   [key 32] × n                              [count u64][segment] × n
//   segment     [address u64][remote key u32, length u32]

/// What is wrong with a body that should name remote memory.
package enum RemoteSegmentError: Error, Hashable, Sendable {
    case noBytes
    case beyondAddressSpace
    /// The count that stands in the body isn't the one that follows from its length.
    case wrongCount(UInt64)
}

/// A stretch of registered memory of the client.
package struct RemoteSegment: Hashable, Sendable {
    package static let byteCount: UInt32 = 16
    package static let wordCount = 2

    /// Where it begins, in the client's address space.
    package var address: UInt64
    /// The registration's key for remote access (rkey).
    package var remoteKey: UInt32
    package var lengthBytes: UInt32

    package init(address: UInt64, remoteKey: UInt32, lengthBytes: UInt32) {
        self.address = address
        self.remoteKey = remoteKey
        self.lengthBytes = lengthBytes
    }

    package var words: InlineArray<2, UInt64> {
        [address, UInt64(remoteKey) | UInt64(lengthBytes) << 32]
    }

    package init(words: InlineArray<2, UInt64>) throws(RemoteSegmentError) {
        address = words[0]
        remoteKey = UInt32(truncatingIfNeeded: words[1])
        lengthBytes = UInt32(truncatingIfNeeded: words[1] >> 32)
        guard lengthBytes > 0 else { throw .noBytes }
        guard !address.addingReportingOverflow(UInt64(lengthBytes)).overflow else {
            throw .beyondAddressSpace
        }
    }
}

/// The shape of a body that names remote memory: the body of the same operation over a stream, then
/// the count of segments, then the segments.
package struct RemoteBodyShape: Hashable, Sendable {
    /// Most segments of a request for one key, whose value is their bytes one after another.
    package static let segmentLimit: UInt32 = 16
    /// The word that says how many segments follow it.
    package static let countBytes: UInt32 = 8

    /// Bytes before the count: the body that the same operation has over a stream.
    package let streamBodyBytes: UInt32
    /// Items of a batch; 1 for a request of one key.
    package let itemCount: UInt32
    /// For one key, the stretches of its value's memory; of a batch, one for each item.
    package let segmentCount: UInt32

    /// Where the word with the count stands.
    package var countOffset: UInt32 { streamBodyBytes }
    /// Where the first segment stands.
    package var segmentsOffset: UInt32 { streamBodyBytes + Self.countBytes }
    package var bodyBytes: UInt32 { segmentsOffset + segmentCount * RemoteSegment.byteCount }

    /// Of a request to be made. Nil when no body has this shape.
    package init?(of operation: OperationCode, itemCount: UInt32, segmentCount: UInt32) {
        guard let bytesPerItem = Self.streamBytesPerItem(of: operation) else { return nil }
        switch operation {
        case .write, .read:
            guard itemCount == 1, (1...Self.segmentLimit).contains(segmentCount) else {
                return nil
            }
        default:
            guard (1...BodyLayout.batchLimit).contains(itemCount), segmentCount == itemCount else {
                return nil
            }
        }
        self.itemCount = itemCount
        self.segmentCount = segmentCount
        streamBodyBytes = bytesPerItem * itemCount
    }

    /// Of a request that has arrived. Nil when no body of this operation has so many bytes.
    package init?(of operation: OperationCode, bodyBytes: UInt32) {
        guard let bytesPerItem = Self.streamBytesPerItem(of: operation) else { return nil }
        let (rest, isShort) = bodyBytes.subtractingReportingOverflow(Self.countBytes)
        guard !isShort else { return nil }
        switch operation {
        case .write, .read:
            guard rest > bytesPerItem, (rest - bytesPerItem) % RemoteSegment.byteCount == 0 else {
                return nil
            }
            self.init(
                of: operation, itemCount: 1,
                segmentCount: (rest - bytesPerItem) / RemoteSegment.byteCount)
        default:
            let bytesOfBoth = bytesPerItem + RemoteSegment.byteCount
            guard rest % bytesOfBoth == 0 else { return nil }
            self.init(
                of: operation, itemCount: rest / bytesOfBoth, segmentCount: rest / bytesOfBoth)
        }
    }

    /// Compares the word at `countOffset` with the count that follows from the body's length.
    package func check(countWord: UInt64) throws(RemoteSegmentError) {
        guard countWord == UInt64(segmentCount) else { throw .wrongCount(countWord) }
    }

    private static func streamBytesPerItem(of operation: OperationCode) -> UInt32? {
        switch operation {
        case .write, .read, .batchRead: BodyLayout.keyBytes
        case .batchWrite: BodyLayout.batchPutItemBytes
        default: nil
        }
    }
}
