// Payload: moves a value between its slabs and its slots, piece by piece.
//
// Always holds: a piece is contiguous in memory and on the drive; writes go out in whole logical
// blocks, the rest of the last one zero; an operation's memory is let go only after its last piece
// has completed.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Submits every piece of the value of `index`, reads or writes.
    mutating func submitPayload(of index: OperationIndex, _ action: DeviceAction) {
        let payload = payload(of: index)
        let drive = operations[index].drive
        let layout = drives[drive].superblock.layout
        let entry = operations[index].entry
        let payloadOffset = operations[index].payloadOffset
        let length = UInt64(entry.lengthBytes)
        let block = UInt64(device.geometry(of: drive).logicalBlockBytes)
        let padded = (length + block - 1) / block * block
        if action == .write, padded > length {
            let rest = memory.slabs.piece(
                of: payload, at: payloadOffset + length, limit: ByteCount(padded - length))
            memory.arena.zero(rest)
        }
        let slotBytes = layout.classes.slotBytes(of: entry.sizeClass).rawValue
        var position: UInt64 = 0
        operations[index].deviceError = nil
        while position < padded {
            let inSlot = position % slotBytes
            let limit = min(padded - position, slotBytes - inSlot)
            let piece = memory.slabs.piece(
                of: payload, at: payloadOffset + position, limit: ByteCount(limit))
            let slot = layout.offset(of: entry.slots[Int(position / slotBytes)])
            operations[index].deviceOperations += 1
            device.submit(
                action, on: drive, at: ByteOffset(slot.rawValue + inSlot), memory: piece,
                for: action == .read ? .payloadRead(index) : .payloadWrite(index), now: now)
            position += piece.length.rawValue
        }
    }

    /// Where the payload of `index` is.
    func payload(of index: OperationIndex) -> SlabChain {
        guard let payload = operations[index].payload else {
            preconditionFailure("a \(operations[index].kind) without a payload's memory")
        }
        return payload
    }

    /// One piece has completed.
    mutating func payloadMoved(_ index: OperationIndex, _ error: DeviceError?) {
        operations[index].deviceOperations -= 1
        if let error, operations[index].deviceError == nil {
            operations[index].deviceError = error
        }
        guard operations[index].deviceOperations == 0 else { return }
        switch operations[index].kind {
        case .put: putMoved(index)
        case .get: getMoved(index)
        case .remove, .lookups, .batchGet, .batchPut, .batchDelete, .peerLookup, .evictor:
            preconditionFailure("payload of a \(operations[index].kind)")
        }
    }
}
