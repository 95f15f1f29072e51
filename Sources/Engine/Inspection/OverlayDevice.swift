// OverlayDevice: a drive whose writes stay in memory, so that the engine's own recovery can be
// tried on a drive that must not change.
//
// Always holds: nothing but reads reaches the drive; what was written reads back as written. Writes
// are whole blocks of 4 KiB: superblocks and journal blocks are all that recovery writes.

/// A device of one drive, over a drive that is only read.
struct OverlayDevice<Base: BlockDevice & ~Copyable>: BlockDevice, ~Copyable {
    private static var blockBytes: UInt64 { 4096 }

    private let base: InspectedDrive<Base>
    /// Written blocks by their number, as words.
    private var written: [UInt64: [UInt64]] = [:]
    private var reading: [OperationTag: DeviceOperation] = [:]
    private var finished: [DeviceCompletion] = []

    init(over base: InspectedDrive<Base>) { self.base = base }

    var driveCount: Int { 1 }
    var operationLimit: Int { base.operationLimit }
    func geometry(of drive: DriveIndex) -> DriveGeometry { base.geometry }

    mutating func submit(_ operation: DeviceOperation) {
        switch operation.action {
        case .read:
            reading[operation.tag] = operation
            base.submit(operation)
            return
        case .write: keep(operation)
        case .flush, .discard: break
        }
        finished.append(DeviceCompletion(tag: operation.tag, error: nil))
    }

    mutating func nextCompletion() -> DeviceCompletion? {
        if let done = finished.popLast() { return done }
        guard let completion = base.nextCompletion() else { return nil }
        if let operation = reading.removeValue(forKey: completion.tag), completion.error == nil {
            lay(over: operation)
        }
        return completion
    }

    private mutating func keep(_ operation: DeviceOperation) {
        precondition(
            operation.offset.rawValue % Self.blockBytes == 0
                && operation.length.rawValue % Self.blockBytes == 0,
            "a write of something else than whole blocks")
        for block in 0..<operation.length.rawValue / Self.blockBytes {
            let memory = operation.memory.advanced(by: block * Self.blockBytes)
            written[operation.offset.rawValue / Self.blockBytes + block] =
                (0..<Self.blockBytes / 8).map { base.arena.loadWord(memory.advanced(by: $0 * 8)) }
        }
    }

    private func lay(over operation: DeviceOperation) {
        if written.isEmpty { return }
        let first = operation.offset.rawValue / Self.blockBytes
        for block in 0..<operation.length.rawValue / Self.blockBytes {
            guard let words = written[first + block] else { continue }
            let memory = operation.memory.advanced(by: block * Self.blockBytes)
            for (index, word) in words.enumerated() {
                base.arena.storeWord(word, at: memory.advanced(by: UInt64(index) * 8))
            }
        }
    }
}
