// LeaseGrant: the answer to Allocate and Lookup: memory of the server's that the client may write
// to, or read from, by itself; and the lengths of the bodies of all requests about leases.
//
// Always holds: a grant names at least one segment, and its lease isn't 0. Refuses anything else.
// Allocates: for a value on its way, never for a queue's message.
//
//   Allocate  request   [key 32][length u32, zero u32]                                     40
//   Lookup    request   [key 32]                                                           32
//   both      response  [lease id][time to live u32, count u32][segment 16] × count
//   Commit    request   [lease id]; the header has the value's length and checksum          8
//   Release   request   [lease id]                                                          8

/// What is wrong with a body that should grant a lease.
package enum LeaseGrantError: Error, Hashable, Sendable {
    case wrongLength(words: Int)
    case noLease
    case segment(RemoteSegmentError)
}

/// Memory that a server leases.
package struct LeaseGrant: Hashable, Sendable {
    package static let allocateBytes: UInt32 = 40
    /// Of a Commit and of a Release.
    package static let leaseBytes: UInt32 = 8
    /// Most segments: those of the longest value in the smallest slabs.
    package static let segmentLimit = 256
    /// Bytes in front of the segments.
    package static let fixedBytes: UInt32 = 16

    /// Names the lease on its queue pair; not 0.
    package var leaseID: UInt64
    /// From the grant on; then the server takes the memory back.
    package var timeToLiveMilliseconds: UInt32
    /// Where the value's bytes go, or are, one after another.
    package var segments: [RemoteSegment]

    package init(leaseID: UInt64, timeToLiveMilliseconds: UInt32, segments: [RemoteSegment]) {
        self.leaseID = leaseID
        self.timeToLiveMilliseconds = timeToLiveMilliseconds
        self.segments = segments
    }

    /// The response's body.
    package var words: [UInt64] {
        var words = [leaseID, UInt64(timeToLiveMilliseconds) | UInt64(segments.count) << 32]
        for segment in segments { words += [segment.words[0], segment.words[1]] }
        return words
    }

    package init(words: [UInt64]) throws(LeaseGrantError) {
        guard words.count >= 2 else { throw .wrongLength(words: words.count) }
        let count = Int(words[1] >> 32)
        guard (1...Self.segmentLimit).contains(count), words.count == 2 + 2 * count else {
            throw .wrongLength(words: words.count)
        }
        guard words[0] != 0 else { throw .noLease }
        leaseID = words[0]
        timeToLiveMilliseconds = UInt32(truncatingIfNeeded: words[1])
        segments = []
        do throws(RemoteSegmentError) {
            for index in 1...count {
                segments.append(
                    try RemoteSegment(words: [words[2 * index], words[2 * index + 1]]))
            }
        } catch {
            throw .segment(error)
        }
    }
}
