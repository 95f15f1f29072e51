// DeviceContract: what every `BlockDevice` must do, whatever it is made of.
//
// Always holds: a clause says what it expected and what it saw, and knows nothing of the backend.
// Each clause leaves nothing in flight. The same clauses run on simulated drives and on real ones.

package import Engine

/// A promise of the port that a backend broke.
package struct ContractViolation: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// One drive under test. `advance` lets time pass until at least one operation more has completed.
package struct DeviceContract<Device: BlockDevice & ~Copyable> {

    let drive: DriveIndex
    let arena: Arena
    let memory: ArenaRange
    let seed: UInt64
    let advance: (inout Device) -> Void

    /// `memory` is at least 1 MiB, page-aligned, and nobody else's; the drive is at least 4 MiB.
    package init(
        drive: DriveIndex, arena: Arena, memory: ArenaRange, seed: UInt64,
        advance: @escaping (inout Device) -> Void
    ) {
        precondition(memory.length.rawValue >= 1 << 20, "the contract needs 1 MiB of memory")
        self.drive = drive
        self.arena = arena
        self.memory = memory
        self.seed = seed
        self.advance = advance
    }

    /// Every clause, on a drive whose content may be lost.
    package func checkAll(_ device: inout Device) throws(ContractViolation) {
        try geometryIsUsable(device)
        try whatIsWrittenIsRead(&device)
        try everyMultipleOfABlockWillDo(&device)
        try manyOperationsCompleteOnceEach(&device)
        try theLastByteIsPartOfTheDrive(&device)
        try nothingIsDoneAtOnce(&device)
        try aFlushCompletes(&device)
        try aDiscardedStretchCanBeWrittenAgain(&device)
    }

    package func geometryIsUsable(_ device: borrowing Device) throws(ContractViolation) {
        let geometry = device.geometry(of: drive)
        try require(geometry.isPresent, "the drive is present")
        try require(
            [512, 4096].contains(geometry.logicalBlockBytes), "blocks of 512 or 4096 bytes")
        try require(
            geometry.capacity.rawValue % UInt64(geometry.logicalBlockBytes) == 0,
            "a capacity of whole blocks, not \(geometry.capacity.rawValue) bytes")
        try require(geometry.capacity.rawValue >= 4 << 20, "at least 4 MiB")
        try require(device.operationLimit >= 8, "at least 8 operations in flight")
    }

    package func whatIsWrittenIsRead(_ device: inout Device) throws(ContractViolation) {
        let length = ByteCount(UInt64(256 << 10))
        let written = memory.part(at: 0, length: length)
        let readBack = memory.part(at: length.rawValue, length: length)
        fill(written, seed: seed)
        arena.zero(readBack)
        try perform(.write, at: 1 << 20, written, &device)
        try perform(.read, at: 1 << 20, readBack, &device)
        try require(
            arena.checksum(written) == arena.checksum(readBack), "the bytes read are those written")
    }

    /// Places on the drive, places in memory and lengths of odd numbers of blocks.
    package func everyMultipleOfABlockWillDo(_ device: inout Device) throws(ContractViolation) {
        let block = UInt64(device.geometry(of: drive).logicalBlockBytes)
        for blocks: UInt64 in [1, 3, 7] {
            for place: UInt64 in [1, 5] {
                let length = ByteCount(blocks * block)
                let written = memory.part(at: place * block, length: length)
                let readBack = memory.part(at: (1 << 19) + 3 * block, length: length)
                fill(written, seed: seed &+ blocks &* 64 &+ place)
                arena.zero(readBack)
                let offset = (2 << 20) + place * block
                try perform(.write, at: offset, written, &device)
                try perform(.read, at: offset, readBack, &device)
                try require(
                    arena.checksum(written) == arena.checksum(readBack),
                    "\(blocks) blocks at block \(place) come back")
            }
        }
    }

    /// As many as the device allows at once; each tag comes back once, in whatever order.
    package func manyOperationsCompleteOnceEach(_ device: inout Device) throws(ContractViolation) {
        let block = UInt64(device.geometry(of: drive).logicalBlockBytes)
        let count = min(device.operationLimit, Int((1 << 19) / block), 128)
        for action in [DeviceAction.write, .read] {
            var expected: Set<UInt64> = []
            for index in 0..<count {
                let half = action == .write ? UInt64(0) : 1 << 19
                let range = memory.part(
                    at: half + UInt64(index) * block, length: ByteCount(block))
                if action == .write { fill(range, seed: seed &+ UInt64(index)) }
                let tag = seed &+ UInt64(index)
                expected.insert(tag)
                submit(action, at: UInt64(index) * block, range, tag: tag, &device)
            }
            while !expected.isEmpty {
                let completion = next(&device)
                try require(
                    completion.error == nil, "no error, not \(String(describing: completion.error))"
                )
                try require(
                    expected.remove(completion.tag.rawValue) != nil,
                    "tag \(completion.tag.rawValue) completes once")
            }
        }
        try require(device.nextCompletion() == nil, "no completion that nobody asked for")
        let length = ByteCount(UInt64(count) * block)
        try require(
            arena.checksum(memory.part(at: 0, length: length))
                == arena.checksum(memory.part(at: 1 << 19, length: length)),
            "all blocks come back")
    }

    package func theLastByteIsPartOfTheDrive(_ device: inout Device) throws(ContractViolation) {
        let geometry = device.geometry(of: drive)
        let block = ByteCount(UInt64(geometry.logicalBlockBytes))
        let written = memory.part(at: 0, length: block)
        let readBack = memory.part(at: 1 << 19, length: block)
        let offset = geometry.capacity.rawValue - block.rawValue
        fill(written, seed: seed &+ 99)
        arena.zero(readBack)
        try perform(.write, at: offset, written, &device)
        try perform(.read, at: offset, readBack, &device)
        try require(
            arena.checksum(written) == arena.checksum(readBack), "the last block comes back")
    }

    package func nothingIsDoneAtOnce(_ device: inout Device) throws(ContractViolation) {
        for action in [DeviceAction.read, .write, .discard] {
            try perform(action, at: 0, memory.part(at: 0, length: .zero), &device)
        }
    }

    package func aFlushCompletes(_ device: inout Device) throws(ContractViolation) {
        let block = ByteCount(UInt64(device.geometry(of: drive).logicalBlockBytes))
        try perform(.write, at: 0, memory.part(at: 0, length: block), &device)
        try perform(.flush, at: 0, memory.part(at: 0, length: .zero), &device)
    }

    /// The stretch itself reads as anything; its neighbours stay; and it takes new bytes.
    package func aDiscardedStretchCanBeWrittenAgain(
        _ device: inout Device
    ) throws(ContractViolation) {
        guard device.geometry(of: drive).supportsDiscard else { return }
        let length = ByteCount(UInt64(64 << 10))
        let before = memory.part(at: 0, length: length)
        let behind = memory.part(at: 1 << 17, length: length)
        let readBack = memory.part(at: 1 << 19, length: length)
        fill(before, seed: seed &+ 1)
        fill(behind, seed: seed &+ 2)
        try perform(.write, at: 0, before, &device)
        try perform(.write, at: 128 << 10, behind, &device)
        let tag = OperationTag(seed)
        device.submit(
            DeviceOperation(
                action: .discard, drive: drive, offset: ByteOffset(64 << 10), length: length,
                tag: tag))
        let completion = next(&device)
        try require(
            completion.error == nil,
            "a discard succeeds, not \(String(describing: completion.error))")
        for (offset, written) in [(UInt64(0), before), (128 << 10, behind)] {
            try perform(.read, at: offset, readBack, &device)
            try require(
                arena.checksum(written) == arena.checksum(readBack),
                "the neighbour at \(offset) survives a discard")
        }
        try perform(.write, at: 64 << 10, behind, &device)
        try perform(.read, at: 64 << 10, readBack, &device)
        try require(
            arena.checksum(behind) == arena.checksum(readBack), "discarded blocks can be written")
    }

    // MARK: - One operation

    /// Submits and waits; nothing else may be in flight.
    package func perform(
        _ action: DeviceAction, at offset: UInt64, _ range: ArenaRange, _ device: inout Device
    ) throws(ContractViolation) {
        submit(action, at: offset, range, tag: seed ^ offset, &device)
        let completion = next(&device)
        try require(
            completion.tag.rawValue == seed ^ offset, "the tag that was given comes back")
        try require(
            completion.error == nil,
            "\(action) of \(range.length.rawValue) bytes at \(offset) succeeds, "
                + "not \(String(describing: completion.error))")
    }

    private func submit(
        _ action: DeviceAction, at offset: UInt64, _ range: ArenaRange, tag: UInt64,
        _ device: inout Device
    ) {
        device.submit(
            DeviceOperation(
                action: action, drive: drive, offset: ByteOffset(offset), length: range.length,
                memory: range.start, tag: OperationTag(tag)))
    }

    private func next(_ device: inout Device) -> DeviceCompletion {
        while true {
            if let completion = device.nextCompletion() { return completion }
            advance(&device)
        }
    }

    private func fill(_ range: ArenaRange, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        for offset in stride(from: 0, to: range.length.rawValue, by: 8) {
            arena.storeWord(generator.next(), at: range.start.advanced(by: offset))
        }
    }

    private func require(_ holds: Bool, _ sentence: String) throws(ContractViolation) {
        if !holds { throw ContractViolation("the contract says: \(sentence) (seed \(seed))") }
    }
}
