// SimulatedDevice: the BlockDevice of the simulated world.
//
// Always holds
//  - Nothing happens but in `submit` and `advance`; completions come by (time, sequence), with
//    latencies drawn from the seed, so operations in flight together end in any order.
//  - A write's bytes are taken at submission and its memory must still hold them at completion:
//    memory changed in flight traps, or is counted. A read's memory is scribbled over at
//    submission.
//  - A read under a write in flight sees, sector by sector, the bytes before or those of the write,
//    by seed.
// Refuses, by trap with a sentence: misaligned or outside operations, more than the limit in
// flight, and writes or discards in flight together that overlap.

package import Engine

/// Where in an operation's life an observer is called.
package enum DeviceMoment: UInt8, Sendable, CaseIterable {
    case beforeSubmission, afterSubmission, afterCompletion
}

/// The drives of one simulated shard.
package final class SimulatedDevice: BlockDevice {
    private struct InFlight {
        let operation: DeviceOperation
        let serial: UInt64
        let error: DeviceError?
        let flushMark: UInt64
        var sectors: Range<UInt64>
    }

    package let operationLimit: Int
    /// Called at each moment of each operation, with the operation's serial.
    package var observer: ((DeviceMoment, UInt64, DeviceOperation) -> Void)?
    /// Changes whenever what a crash could leave behind changes.
    package private(set) var stateSerial: UInt64 = 0
    /// Writes whose memory was changed in flight are counted, where somebody else than the engine
    /// may be to blame; otherwise they trap.
    package var countsChangedWrites = false
    package private(set) var changedWrites: UInt64 = 0
    /// Operations submitted so far; the next one's serial.
    package private(set) var submittedCount: UInt64 = 0
    private let world: SimulatedWorld
    private let arena: Arena
    private var drives: [SimulatedDrive]
    private var events = EventQueue()
    private var inFlight: [InFlight] = []
    private var ready: [DeviceCompletion] = []
    private var nextReady = 0
    /// Ended, and kept from the engine by a stall.
    private var withheld: [(serial: UInt64, drive: DriveIndex, action: DeviceAction)] = []
    private var latencyDraws: RandomStream
    private var raceDraws: RandomStream
    private var faultDraws: RandomStream

    /// Drives that move bytes to and from `arena`; `incarnation` counts the restarts under one
    /// seed.
    package init(
        drives: [SimulatedDriveSetup], world: SimulatedWorld, arena: Arena, operationLimit: Int,
        seed: UInt64, incarnation: UInt64 = 0
    ) {
        self.drives = drives.map { SimulatedDrive($0) }
        self.world = world
        self.arena = arena
        self.operationLimit = operationLimit
        latencyDraws = RandomStream(seed: seed, name: "device latency", incarnation: incarnation)
        raceDraws = RandomStream(seed: seed, name: "device race", incarnation: incarnation)
        faultDraws = RandomStream(seed: seed, name: "device fault", incarnation: incarnation)
    }

    package var driveCount: Int { drives.count }

    package func geometry(of drive: DriveIndex) -> DriveGeometry {
        drives[Int(drive.rawValue)].geometry
    }

    /// Operations taken and not yet completed.
    package var inFlightCount: Int { inFlight.count }

    /// When the next operation ends; nil when none is in flight.
    package var nextEventTime: Instant? { events.nextTime }

    /// True when a completion waits to be polled.
    package var hasCompletion: Bool { nextReady < ready.count }

    package func faults(of drive: DriveIndex) -> DriveFaults { drives[Int(drive.rawValue)].faults }

    /// Replaces a drive's faults; operations in flight keep the end they were given, except on a
    /// drive gone.
    package func setFaults(_ faults: DriveFaults, of drive: DriveIndex) {
        drives[Int(drive.rawValue)].faults = faults
        let freed = withheld.filter { $0.drive == drive && !isWithheld($0.drive, $0.action) }
        withheld.removeAll { $0.drive == drive && !isWithheld($0.drive, $0.action) }
        for operation in freed { events.push(operation.serial, at: world.now) }
    }

    private func isWithheld(_ drive: DriveIndex, _ action: DeviceAction) -> Bool {
        let faults = drives[Int(drive.rawValue)].faults
        return faults.stalledActions.contains(DeviceActions(action)) && faults.offlineAnswer == nil
    }

    /// What a drive's faults have done so far.
    package func effects(of drive: DriveIndex) -> FaultEffects {
        drives[Int(drive.rawValue)].effects
    }

    /// The sectors of `range` that hold something durable, in order.
    package func writtenSectors(of drive: DriveIndex, in range: Range<UInt64>) -> [UInt64] {
        drives[Int(drive.rawValue)].image.writtenSectors(in: range)
    }

    /// What is in flight, in the order of submission.
    package var operationsInFlight: [DeviceOperation] { inFlight.map(\.operation) }

    /// Operations in flight on one drive.
    package func inFlightCount(of drive: DriveIndex) -> Int {
        inFlight.count { $0.operation.drive == drive }
    }

    package func setLatency(_ latency: DriveLatency, of drive: DriveIndex) {
        drives[Int(drive.rawValue)].latency = latency
    }

    /// Operations submitted to a drive so far, of one action.
    package func submitted(_ action: DeviceAction, to drive: DriveIndex) -> UInt64 {
        drives[Int(drive.rawValue)].submittedPerAction[Int(action.rawValue)]
    }

    /// What a drive holds durably now. Cheap.
    package func durableImage(of drive: DriveIndex) -> DriveImage {
        drives[Int(drive.rawValue)].image
    }

    /// What a power cut now would find: durable images and everything unflushed. Cheap.
    package func crashState() -> CrashState { CrashState(drives: drives) }

    // MARK: BlockDevice

    package func submit(_ operation: DeviceOperation) {
        observer?(.beforeSubmission, submittedCount, operation)
        check(operation)
        let serial = submittedCount
        submittedCount += 1
        let place = Int(operation.drive.rawValue)
        let ordinal = drives[place].count(operation.action)
        let sectors = sectors(of: operation)
        world.note(
            .submitted, serial,
            UInt64(operation.action.rawValue) | UInt64(operation.drive.rawValue) << 8,
            operation.offset.rawValue << 24 ^ operation.length.rawValue)
        begin(operation, serial: serial, sectors: sectors)
        inFlight.append(
            InFlight(
                operation: operation, serial: serial,
                error: plannedError(operation, place, ordinal),
                flushMark: drives[place].flushMark, sectors: sectors))
        events.push(serial, at: end(of: operation, place))
        observer?(.afterSubmission, serial, operation)
    }

    private func end(of operation: DeviceOperation, _ place: Int) -> Instant {
        let delay = drives[place].latency.draw(operation.action, from: &latencyDraws)
        let faults = drives[place].faults
        guard faults.latencyPercent != 100 else {
            return drives[place].end(of: operation, taking: delay, now: world.now)
        }
        let isSlowed =
            faults.slowedSharePercent >= 100
            || faultDraws.chance(percent: faults.slowedSharePercent)
        if isSlowed { drives[place].effects.slowed += 1 }
        return drives[place].end(
            of: operation, taking: delay, percent: isSlowed ? faults.latencyPercent : 100,
            now: world.now)
    }

    package func nextCompletion() -> DeviceCompletion? {
        guard nextReady < ready.count else { return nil }
        nextReady += 1
        let completion = ready[nextReady - 1]
        if nextReady == ready.count {
            ready.removeAll(keepingCapacity: true)
            nextReady = 0
        }
        return completion
    }

    /// Lets everything happen that is due at the world's time.
    package func advance() {
        while let serial = events.popDue(at: world.now) {
            guard let place = inFlight.firstIndex(where: { $0.serial == serial }) else {
                preconditionFailure("operation \(serial) ended twice")
            }
            let operation = inFlight[place].operation
            if isWithheld(operation.drive, operation.action) {
                drives[Int(operation.drive.rawValue)].effects.stalled += 1
                withheld.append((serial, operation.drive, operation.action))
                continue
            }
            let ended = inFlight.remove(at: place)
            let error = finish(ended)
            if error != nil { drives[Int(operation.drive.rawValue)].effects.failures += 1 }
            world.note(
                error == nil ? .completed : .failed, serial, UInt64(error?.rawValue ?? 0), 0)
            ready.append(DeviceCompletion(tag: ended.operation.tag, error: error))
            observer?(.afterCompletion, serial, ended.operation)
        }
    }

    // MARK: Beginnings

    private func begin(_ operation: DeviceOperation, serial: UInt64, sectors: Range<UInt64>) {
        let place = Int(operation.drive.rawValue)
        let unit = drives[place].image.sectorBytes
        switch operation.action {
        case .read:
            arena.scribble(ArenaRange(start: operation.memory, length: operation.length))
        case .write:
            drives[place].begin(
                UnflushedWrite(
                    serial: serial, firstSector: sectors.lowerBound,
                    sectors: (0..<sectors.count).map { index in
                        SectorBytes(
                            arena: arena,
                            at: operation.memory.advanced(by: UInt64(index * unit)), count: unit)
                    }))
            stateSerial += 1
        case .discard:
            guard drives[place].supportsDiscard else { return }
            drives[place].begin(
                UnflushedWrite(
                    serial: serial, firstSector: sectors.lowerBound,
                    sectors: sectors.map { sector in
                        .noise(seed: Mixer.mix(serial) ^ sector, count: unit)
                    }))
            stateSerial += 1
        case .flush:
            break
        }
    }

    private func plannedError(
        _ operation: DeviceOperation, _ place: Int, _ ordinal: UInt64
    ) -> DeviceError? {
        let drive = drives[place]
        if drive.isGone { return .gone }
        if let answer = drive.faults.offlineAnswer { return answer }
        if operation.action == .flush, let error = drive.faults.nextFlushError {
            drives[place].faults.nextFlushError = nil
            return error
        }
        if operation.action == .discard && !drive.supportsDiscard { return .unsupported }
        return drive.faults.failures.first {
            $0.action == operation.action && $0.ordinal == ordinal
        }?.error
    }

    // MARK: Ends

    private func finish(_ ended: InFlight) -> DeviceError? {
        let place = Int(ended.operation.drive.rawValue)
        let error =
            drives[place].isGone ? .gone : drives[place].faults.offlineAnswer ?? ended.error
        switch ended.operation.action {
        case .read: return error ?? finishRead(ended, place)
        case .write: return finishWrite(ended, place, error)
        case .discard:
            guard drives[place].supportsDiscard else { return error ?? .unsupported }
            drives[place].complete(serial: ended.serial) { _ in error == nil }
            stateSerial += 1
        case .flush:
            if error == nil {
                drives[place].flush(coveringUpTo: ended.flushMark)
            } else {
                drives[place].abandon(coveredUpTo: ended.flushMark)
            }
            stateSerial += 1
        }
        return error
    }

    private func finishRead(_ ended: InFlight, _ place: Int) -> DeviceError? {
        let unit = UInt64(drives[place].image.sectorBytes)
        for sector in ended.sectors {
            if drives[place].faults.isUnreadable(sector * unit..<(sector + 1) * unit) {
                return .medium
            }
        }
        var shift: UInt64 = 0
        if drives[place].faults.misdirectedReadsPerMille > 0,
            faultDraws.below(1000) < drives[place].faults.misdirectedReadsPerMille
        {
            let places = drives[place].image.sectorCount - UInt64(ended.sectors.count) + 1
            shift = faultDraws.below(places) &- ended.sectors.lowerBound
            drives[place].effects.misdirected += 1
        }
        for sector in ended.sectors {
            let bytes = drives[place].read(sector &+ shift) { raceDraws.chance(percent: 50) }
            bytes.copy(
                to: arena,
                at: ended.operation.memory.advanced(by: (sector - ended.sectors.lowerBound) * unit))
        }
        return nil
    }

    private func finishWrite(_ ended: InFlight, _ place: Int, _ error: DeviceError?) -> DeviceError?
    {
        checkMemory(of: ended, place)
        stateSerial += 1
        if error != nil {
            drives[place].complete(serial: ended.serial) { _ in faultDraws.chance(percent: 50) }
            return error
        }
        if let landed = misplaced(ended, place) {
            drives[place].complete(serial: ended.serial) { landed & (1 << UInt64($0 % 64)) != 0 }
            return nil
        }
        var fitting = ended.sectors.count
        if let limit = drives[place].faults.newSectorLimit {
            var left = limit
            for (index, sector) in ended.sectors.enumerated() {
                if drives[place].writtenBefore(sector, except: ended.serial) { continue }
                if left == 0 {
                    fitting = index
                    break
                }
                left -= 1
            }
            drives[place].faults.newSectorLimit = left
        }
        let isWhole = fitting == ended.sectors.count
        drives[place].complete(serial: ended.serial) { $0 < fitting }
        return isWhole ? nil : .noSpace
    }

    /// What becomes of a write that its drive doesn't put where it belongs: the sectors that land,
    /// by their place modulo 64; nil for a write without that fault.
    private func misplaced(_ ended: InFlight, _ place: Int) -> UInt64? {
        let faults = drives[place].faults
        guard
            faults.lostWritesPerMille + faults.tornWritesPerMille
                + faults.misdirectedWritesPerMille > 0
        else { return nil }
        let draw = faultDraws.below(1000)
        if draw < faults.lostWritesPerMille {
            drives[place].effects.lostWrites += 1
            return 0
        }
        if draw < faults.lostWritesPerMille + faults.tornWritesPerMille {
            drives[place].effects.tornWrites += 1
            return faultDraws.next()
        }
        guard
            draw < faults.lostWritesPerMille + faults.tornWritesPerMille
                + faults.misdirectedWritesPerMille
        else { return nil }
        drives[place].effects.misdirected += 1
        let count = UInt64(ended.sectors.count)
        drives[place].misdirect(
            serial: ended.serial,
            to: faultDraws.below(drives[place].image.sectorCount - count + 1))
        return .max
    }

    // MARK: Checks

    private func check(_ operation: DeviceOperation) {
        precondition(
            inFlight.count < operationLimit, "more than \(operationLimit) operations in flight")
        precondition(
            Int(operation.drive.rawValue) < drives.count, "drive \(operation.drive.rawValue)")
        let image = drives[Int(operation.drive.rawValue)].image
        let unit = UInt64(image.sectorBytes)
        guard operation.action != .flush else {
            precondition(
                operation.offset.rawValue == 0 && operation.length == .zero,
                "a flush of a part of a drive")
            return
        }
        precondition(
            operation.offset.rawValue.isMultiple(of: unit)
                && operation.length.rawValue.isMultiple(of: unit),
            "\(operation.action) of \(operation.length.rawValue) bytes at "
                + "\(operation.offset.rawValue): not whole logical blocks of \(unit)")
        let sectors = sectors(of: operation)
        precondition(
            sectors.upperBound <= image.sectorCount,
            "\(operation.action) up to sector \(sectors.upperBound) of \(image.sectorCount)")
        if operation.action == .read || operation.action == .write {
            precondition(
                operation.memory.rawValue.isMultiple(of: unit),
                "\(operation.action) with memory at \(operation.memory.rawValue): "
                    + "not aligned to \(unit)"
            )
        }
        guard operation.action != .read else { return }
        for other in inFlight
        where other.operation.drive == operation.drive
            && (other.operation.action == .write || other.operation.action == .discard)
        {
            precondition(
                !other.sectors.overlaps(sectors),
                "\(operation.action) of sectors \(sectors) overlaps \(other.operation.action) of "
                    + "\(other.sectors) in flight")
        }
    }

    private func checkMemory(of ended: InFlight, _ place: Int) {
        let unit = UInt64(drives[place].image.sectorBytes)
        guard let write = drives[place].unflushed.first(where: { $0.serial == ended.serial }) else {
            preconditionFailure("write \(ended.serial) is unknown")
        }
        for (index, bytes) in write.sectors.enumerated() {
            guard let bytes else { continue }
            let memory = ended.operation.memory.advanced(by: UInt64(index) * unit)
            if bytes.matches(arena, at: memory) { continue }
            precondition(
                countsChangedWrites,
                "the memory of a write to sector \(write.firstSector) was changed in flight")
            changedWrites += 1
            return
        }
    }

    private func sectors(of operation: DeviceOperation) -> Range<UInt64> {
        let unit = UInt64(drives[Int(operation.drive.rawValue)].image.sectorBytes)
        let first = operation.offset.rawValue / unit
        return first..<first + operation.length.rawValue / unit
    }
}
