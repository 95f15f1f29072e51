// FlatDevice: a drive in flat memory that does what it is told at once, for targets that run an
// engine a hundred thousand times a minute.
//
// Always holds: `restore` brings the drive back to what it was when `remember` was called, at the
// cost of the sectors touched since; completions come in the order of submission, or the newest
// first. What an engine may ask of a device is checked by the engine's own CheckedDevice.
//
// One of the files that may say `unsafe`.

import Engine

/// A drive of `capacityBytes`, all of it zero at first.
@safe
final class FlatDevice: BlockDevice, @unchecked Sendable {
    // Sendable because fuzz targets have one thread.
    static let sectorBytes = 4096

    let driveCount = 1
    let operationLimit = 64
    let capacityBytes: Int
    /// Completions are polled newest first.
    var isNewestFirst = false
    /// Whoever works on it now may read and nothing else.
    var isReadOnly = false
    /// Sectors that can't be read, until they are written.
    var unreadable: Set<Int> = []
    /// The operation, counted from now on, that fails, and how.
    var failure: (operation: Int, error: DeviceError)?
    private let arena: Arena
    private let bytes: UnsafeMutableRawBufferPointer
    private let original: UnsafeMutableRawBufferPointer
    private var touched: [Int] = []
    private var isTouched: [Bool]
    private var completions: [DeviceCompletion] = []

    init(capacityBytes: Int, arena: Arena) {
        self.capacityBytes = capacityBytes
        self.arena = arena
        unsafe bytes = .allocate(byteCount: capacityBytes, alignment: Self.sectorBytes)
        unsafe original = .allocate(byteCount: capacityBytes, alignment: Self.sectorBytes)
        unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0)
        unsafe original.initializeMemory(as: UInt8.self, repeating: 0)
        isTouched = [Bool](repeating: false, count: capacityBytes / Self.sectorBytes)
    }

    func geometry(of drive: DriveIndex) -> DriveGeometry {
        DriveGeometry(
            mode: .direct, capacity: ByteCount(capacityBytes),
            logicalBlockBytes: UInt32(Self.sectorBytes), supportsDiscard: true, isPresent: true)
    }

    func submit(_ operation: DeviceOperation) {
        precondition(completions.count < operationLimit, "more operations than the limit")
        precondition(!isReadOnly || operation.action == .read, "a check that writes")
        completions.append(DeviceCompletion(tag: operation.tag, error: perform(operation)))
    }

    func nextCompletion() -> DeviceCompletion? {
        if completions.isEmpty { return nil }
        return isNewestFirst ? completions.removeLast() : completions.removeFirst()
    }

    var hasCompletion: Bool { !completions.isEmpty }

    private func perform(_ operation: DeviceOperation) -> DeviceError? {
        if let planned = failure {
            failure = planned.operation > 0 ? (planned.operation - 1, planned.error) : nil
            if planned.operation == 0 { return planned.error }
        }
        let start = Int(operation.offset.rawValue)
        let end = start + Int(operation.length.rawValue)
        let sectors = start / Self.sectorBytes..<end / Self.sectorBytes
        let memory = ArenaRange(start: operation.memory, length: operation.length)
        switch operation.action {
        case .flush: break
        case .read:
            if !unreadable.isEmpty, sectors.contains(where: unreadable.contains) { return .medium }
            unsafe arena.bytes(memory).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        case .write:
            touch(sectors)
            unreadable.subtract(sectors)
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end]).copyMemory(
                from: UnsafeRawBufferPointer(arena.bytes(memory)))
        case .discard:
            touch(sectors)
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end]).initializeMemory(
                as: UInt8.self, repeating: 0xA5)
        }
        return nil
    }

    // MARK: Damaging

    /// Where word `index` from byte `offset` on is; changing it is remembered.
    func word(at offset: Int) -> UInt64 {
        unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    func store(_ word: UInt64, at offset: Int) {
        touch(offset / Self.sectorBytes..<(offset + 7) / Self.sectorBytes + 1)
        unsafe bytes.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
    }

    /// Copies whole sectors over others; from outside the drive come zeros.
    func copySectors(from source: Int?, to target: Int, count: Int) {
        touch(target / Self.sectorBytes..<(target + count) / Self.sectorBytes)
        let place = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[target..<target + count])
        if let source {
            unsafe place.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[source..<source + count]))
        } else {
            unsafe place.initializeMemory(as: UInt8.self, repeating: 0)
        }
    }

    func checksum(at offset: Int, count: Int) -> UInt64 {
        unsafe FuzzMemory.checksum(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
    }

    // MARK: Turning back

    private func touch(_ sectors: Range<Int>) {
        for sector in sectors where !isTouched[sector] {
            isTouched[sector] = true
            touched.append(sector)
        }
    }

    /// What is on the drive now is what `restore` brings back.
    func remember() {
        forEachTouched { start, end in
            unsafe UnsafeMutableRawBufferPointer(rebasing: original[start..<end]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        }
    }

    /// The drive as it was remembered, without faults and without anything in flight.
    func restore() {
        forEachTouched { start, end in
            unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[start..<end]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: original[start..<end]))
        }
        completions = []
        unreadable = []
        failure = nil
        isNewestFirst = false
    }

    private func forEachTouched(_ body: (Int, Int) -> Void) {
        for sector in touched {
            isTouched[sector] = false
            body(sector * Self.sectorBytes, (sector + 1) * Self.sectorBytes)
        }
        touched.removeAll(keepingCapacity: true)
    }
}
