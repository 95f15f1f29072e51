// Verification: compares values with their checksums, a piece in each step.
//
//   put: begun ──► verifying ──► as Put.swift says      get: moving ──► verifying ──► ok, or a miss
//
// Always holds: a step adds `verificationBytesPerStep` of long values at most, so that a shard
// that checks somebody's long value answers everybody's short ones meanwhile; values that are short
// and no part of a batch are compared at once and pass those that wait; long ones are compared one
// after the other. Nothing is written, and nothing leaves as data, before it was compared.

import Wire

/// Longest value that is compared at once, and what a step adds of the others.
private let verificationBytesPerStep: UInt64 = 64 << 10

/// The long values that are being compared.
struct Verification: ~Copyable {
    var waiting = WaitQueue()
    /// Of the first one's bytes, those before `position`.
    var checksum = StreamingChecksum()
    var position: UInt64 = 0
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Compares the payload of `index` with its entry's checksum, now or in later steps; then the
    /// put or get goes on.
    mutating func verify(_ index: OperationIndex) {
        let length = UInt64(operations[index].entry.lengthBytes)
        if length <= verificationBytesPerStep, operations[index].parent == .none {
            let actual = memory.slabs.checksum(
                of: payload(of: index), at: operations[index].payloadOffset,
                length: ByteCount(length), using: &streaming)
            verified(index, isRight: actual == operations[index].entry.checksum)
        } else {
            operations[index].state = .verifying
            operations.append(index, to: &verification.waiting)
        }
    }

    /// Adds this step's share of the values that wait.
    mutating func advanceVerification() {
        var left = verificationBytesPerStep
        while left > 0, verification.waiting.first != .none {
            hasWorked = true
            let index = verification.waiting.first
            let length = UInt64(operations[index].entry.lengthBytes)
            if verification.position == 0 { verification.checksum.begin() }
            let wanted = min(left, length - verification.position)
            let piece = memory.slabs.piece(
                of: payload(of: index),
                at: operations[index].payloadOffset + verification.position,
                limit: ByteCount(wanted))
            memory.arena.add(piece, to: &verification.checksum)
            verification.position += piece.length.rawValue
            left -= piece.length.rawValue
            guard verification.position == length else { continue }
            verification.position = 0
            _ = operations.popFirst(&verification.waiting)
            let actual = verification.checksum.end()
            verified(index, isRight: actual == operations[index].entry.checksum)
        }
    }

    private mutating func verified(_ index: OperationIndex, isRight: Bool) {
        switch operations[index].kind {
        case .put: putVerified(index, isRight: isRight)
        case .get: getVerified(index, isRight: isRight)
        case .remove, .lookups, .batchGet, .batchPut, .batchDelete, .peerLookup, .evictor:
            preconditionFailure("the payload of a \(operations[index].kind) was compared")
        }
    }
}
