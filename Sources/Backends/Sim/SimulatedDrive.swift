// SimulatedDrive: one drive's media and its volatile cache.
//
// Always holds: `image` changes by a successful flush alone, and by exactly the writes that had
// completed when that flush was submitted; everything else is unflushed and up to the crash. A
// write covered by a failed flush is abandoned: reads still see it, no later flush makes it durable
// (what Linux does to a page whose write-back failed). A discard is a write of noise.

package import Engine

/// A write or discard that no flush covers yet.
struct UnflushedWrite: Sendable {
    enum State: Sendable, Equatable {
        case inFlight
        /// Completed as the drive's so-manieth write.
        case completed(sequence: UInt64)
        case abandoned
    }
    let serial: UInt64
    var firstSector: UInt64
    /// nil where a later write has become durable or where nothing was written.
    var sectors: [SectorBytes?]
    var state = State.inFlight

    func index(of sector: UInt64) -> Int? {
        guard sector >= firstSector, sector - firstSector < UInt64(sectors.count) else {
            return nil
        }
        return Int(sector - firstSector)
    }
}

/// How to make a simulated drive.
package struct SimulatedDriveSetup: Sendable {
    package var mode: DriveMode
    package var supportsDiscard: Bool
    package var isPresent: Bool
    package var image: DriveImage
    package var latency = DriveLatency()
    package var service = DriveService()
    package var faults = DriveFaults()

    /// A drive that holds `image`.
    package init(
        image: DriveImage, mode: DriveMode = .direct, supportsDiscard: Bool = true,
        isPresent: Bool = true
    ) {
        self.image = image
        self.mode = mode
        self.supportsDiscard = supportsDiscard
        self.isPresent = isPresent
    }
}

/// One drive of a `SimulatedDevice`.
struct SimulatedDrive: Sendable {
    let mode: DriveMode
    let supportsDiscard: Bool
    let isPresent: Bool
    private(set) var image: DriveImage
    var latency: DriveLatency
    let service: DriveService
    var faults: DriveFaults
    var effects = FaultEffects()
    /// When each channel has served what it was given.
    private var channelsFreeAt: [Instant]
    /// In the order they were submitted.
    private(set) var unflushed: [UnflushedWrite] = []
    private(set) var submitted: UInt64 = 0
    private(set) var submittedPerAction: InlineArray<4, UInt64> = .init(repeating: 0)
    private var completedWrites: UInt64 = 0

    init(_ setup: SimulatedDriveSetup) {
        mode = setup.mode
        supportsDiscard = setup.supportsDiscard
        isPresent = setup.isPresent
        image = setup.image
        latency = setup.latency
        service = setup.service
        channelsFreeAt = Array(
            repeating: Instant(nanoseconds: 0), count: setup.service.channels)
        faults = setup.faults
    }

    var geometry: DriveGeometry {
        DriveGeometry(
            mode: mode, capacity: ByteCount(image.sectorCount * UInt64(image.sectorBytes)),
            logicalBlockBytes: UInt32(image.sectorBytes), supportsDiscard: supportsDiscard,
            isPresent: isPresent)
    }

    /// The writes that a flush submitted now covers: those completed so far.
    var flushMark: UInt64 { completedWrites }

    /// Whatever is submitted or in flight now ends with `gone`.
    var isGone: Bool {
        guard isPresent else { return true }
        if faults.offlineAnswer == .gone { return true }
        guard let first = faults.goneFromOperation else { return false }
        return submitted > first
    }

    /// Counts a submission; returns its ordinal among those of its action.
    mutating func count(_ action: DeviceAction) -> UInt64 {
        let ordinal = submittedPerAction[Int(action.rawValue)]
        submitted += 1
        submittedPerAction[Int(action.rawValue)] += 1
        return ordinal
    }

    /// When an operation given to the drive now ends, that takes `microseconds` by itself.
    mutating func end(
        of operation: DeviceOperation, taking microseconds: UInt64, percent: UInt64 = 100,
        now: Instant
    ) -> Instant {
        var microseconds = microseconds
        if service.bytesPerMicrosecond > 0 {
            microseconds += operation.length.rawValue / service.bytesPerMicrosecond
        }
        if percent != 100 { microseconds = microseconds * percent / 100 }
        guard !channelsFreeAt.isEmpty else { return now.advanced(byMicroseconds: microseconds) }
        var channel = 0
        for other in channelsFreeAt.indices where channelsFreeAt[other] < channelsFreeAt[channel] {
            channel = other
        }
        let end = max(now, channelsFreeAt[channel]).advanced(byMicroseconds: microseconds)
        channelsFreeAt[channel] = end
        return end
    }

    /// Has a write, begun before, land at `sector` instead.
    mutating func misdirect(serial: UInt64, to sector: UInt64) {
        guard let place = unflushed.firstIndex(where: { $0.serial == serial }) else {
            preconditionFailure("write \(serial) is unknown")
        }
        unflushed[place].firstSector = sector
    }

    mutating func begin(_ write: UnflushedWrite) { unflushed.append(write) }

    /// Ends the write `serial`; `landed` says which of its sectors were written.
    mutating func complete(serial: UInt64, landed: (Int) -> Bool) {
        guard let place = unflushed.firstIndex(where: { $0.serial == serial }) else {
            preconditionFailure("write \(serial) completed twice")
        }
        var write = unflushed[place]
        for index in write.sectors.indices where !landed(index) { write.sectors[index] = nil }
        completedWrites += 1
        write.state = .completed(sequence: completedWrites)
        unflushed[place] = write
        let unit = UInt64(image.sectorBytes)
        for index in write.sectors.indices where write.sectors[index] != nil {
            let start = (write.firstSector + UInt64(index)) * unit
            faults.heal(start..<start + unit)
        }
    }

    /// Makes durable what a flush submitted at `mark` covers.
    mutating func flush(coveringUpTo mark: UInt64) {
        for place in unflushed.indices {
            guard case .completed(let sequence) = unflushed[place].state, sequence <= mark else {
                continue
            }
            let write = unflushed[place]
            for (index, bytes) in write.sectors.enumerated() {
                guard let bytes else { continue }
                image[write.firstSector + UInt64(index)] = bytes
            }
            dropVersions(of: write, before: place)
            unflushed[place].sectors = []
        }
        unflushed.removeAll { write in write.sectors.allSatisfy { $0 == nil } }
    }

    /// Gives up, for good, what a failed flush submitted at `mark` covered.
    mutating func abandon(coveredUpTo mark: UInt64) {
        for place in unflushed.indices {
            if case .completed(let sequence) = unflushed[place].state, sequence <= mark {
                unflushed[place].state = .abandoned
            }
        }
    }

    /// True when `sector` was written by anything but the write `serial`.
    func writtenBefore(_ sector: UInt64, except serial: UInt64) -> Bool {
        if image.isWritten(sector) { return true }
        return unflushed.contains { write in
            guard write.serial != serial, let index = write.index(of: sector) else { return false }
            return write.sectors[index] != nil
        }
    }

    /// What a read of `sector` finds: the newest completed bytes, or, under a write in flight,
    /// either those or the new ones, as `coin` decides. Damage is applied on top.
    mutating func read(_ sector: UInt64, coin: () -> Bool) -> SectorBytes {
        var found = image[sector]
        for write in unflushed.reversed() {
            guard let index = write.index(of: sector), let bytes = write.sectors[index] else {
                continue
            }
            if write.state == .inFlight && !coin() { continue }
            found = bytes
            break
        }
        let unit = UInt64(image.sectorBytes)
        let start = sector * unit
        for damage in faults.damage
        where damage.offset.rawValue >= start && damage.offset.rawValue < start + unit {
            effects.damagedReads += 1
            found = found.flipped(at: Int(damage.offset.rawValue - start), mask: damage.mask)
        }
        return found
    }

    private mutating func dropVersions(of write: UnflushedWrite, before place: Int) {
        for older in unflushed.indices where older < place {
            for index in write.sectors.indices where write.sectors[index] != nil {
                let sector = write.firstSector + UInt64(index)
                if let hidden = unflushed[older].index(of: sector) {
                    unflushed[older].sectors[hidden] = nil
                }
            }
        }
    }
}
