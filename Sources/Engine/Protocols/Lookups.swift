// Lookups: exists (a batch of keys) and stat (one key): answers from the index alone, no payload is
// read.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func advanceLookups(_ index: OperationIndex) {
        guard let request = operations[index].request else {
            preconditionFailure("lookups without a request")
        }
        while operations[index].nextItem < operations[index].itemCount {
            if giveUpEarly(index) { return }
            let item = operations[index].nextItem
            let place = request.body.start.advanced(by: UInt64(item * BodyLayout.keyBytes))
            setKey(of: index, to: memory.arena.loadKey(place, namespace: request.namespace))
            let found: BlockEntry?
            switch lookUp(index) {
            case .waiting: return
            case .absent, .unavailable: found = nil
            case .found(let entry): found = entry
            }
            if request.operation == .stat {
                finishStat(index, found)
                return
            }
            let status: Status = found == nil ? .notFound : .ok
            memory.arena.storeWord(
                UInt64(status.rawValue),
                at: request.responseBody.start.advanced(
                    by: UInt64(item * BodyLayout.statusItemBytes)))
            operations[index].nextItem += 1
        }
        finishBatch(index, itemBytes: BodyLayout.statusItemBytes)
    }

    private mutating func finishStat(_ index: OperationIndex, _ found: BlockEntry?) {
        guard let found, let request = operations[index].request,
            !operations[index].isAnswered
        else {
            if found == nil { cells.add(to: .notFoundResponses) }
            finish(index, .notFound)
            return
        }
        let body = request.responseBody.start
        memory.arena.storeWord(UInt64(found.lengthBytes), at: body)
        memory.arena.storeWord(found.checksum, at: body.advanced(by: 8))
        memory.arena.storeWord(found.version.rawValue, at: body.advanced(by: 16))
        respond(
            index, to: request,
            Response(status: .ok, bodyBytes: BodyLayout.statResponseBytes))
        finish(index, .ok)
    }

    /// Answers a batch whose items' words stand in the response body, and ends it.
    mutating func finishBatch(_ index: OperationIndex, itemBytes: UInt32) {
        if let request = operations[index].request, !operations[index].isAnswered {
            var response = Response(
                status: .ok, bodyBytes: operations[index].itemCount * itemBytes)
            if operations[index].kind == .batchGet {
                // Every value in it has its own checksum, in its item.
                response.payloadBytes = UInt32(operations[index].payloadEnd)
            }
            respond(index, to: request, response)
        }
        finish(index, .ok)
    }
}
