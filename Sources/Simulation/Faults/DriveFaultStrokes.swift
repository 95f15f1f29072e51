// What faults do to drives that serve: away, slow, stalled, lying. Every one of them is something
// that real drives do; asking again heals none.

internal import Engine
internal import Sim

extension FaultDirector {
    func strikeDrive(_ index: Int) {
        let fault = faults[index]
        world.server.changeFaults(of: fault.drive) { drive in
            switch fault.name {
            case .driveOffline:
                drive.offlineAnswer = fault.choice == "gone" ? .gone : .inputOutput
            case .driveSlow:
                drive.latencyPercent = fault.choice == "ramp" ? 200 : fault.amount * 100
                drive.slowedSharePercent = fault.choice == "intermittent" ? 5 : 100
            case .driveStall: drive.stalledActions = .all
            case .flushStall: drive.stalledActions.insert(.flush)
            case .flushError: drive.nextFlushError = .inputOutput
            case .lostWrites: drive.lostWritesPerMille = fault.amount
            case .tornWrites: drive.tornWritesPerMille = fault.amount
            case .misdirectedWrites: drive.misdirectedWritesPerMille = fault.amount
            case .misdirectedReads: drive.misdirectedReadsPerMille = fault.amount
            case .noSpace: drive.newSectorLimit = fault.amount / world.server.sectorBytes
            default: preconditionFailure("\(fault.name) isn't a drive's")
            }
        }
        if fault.name == .driveSlow, fault.choice == "ramp" {
            remember(200, of: index)
            world.schedule(.faultTurn(index), after: max(1, fault.lasts / 16))
        }
    }

    /// A ramp goes up.
    func turnSlowness(_ index: Int) {
        let fault = faults[index]
        let percent = min(fault.amount * 100, fault.memory * 3 / 2)
        remember(percent, of: index)
        world.server.changeFaults(of: fault.drive) { $0.latencyPercent = percent }
        world.schedule(.faultTurn(index), after: max(1, fault.lasts / 16))
    }

    func healDrive(_ index: Int) {
        let fault = faults[index]
        world.server.changeFaults(of: fault.drive) { drive in
            switch fault.name {
            case .driveOffline: drive.offlineAnswer = nil
            case .driveSlow:
                drive.latencyPercent = 100
                drive.slowedSharePercent = 100
            case .driveStall: drive.stalledActions = []
            case .flushStall: drive.stalledActions.remove(.flush)
            case .lostWrites: drive.lostWritesPerMille = 0
            case .tornWrites: drive.tornWritesPerMille = 0
            case .misdirectedWrites: drive.misdirectedWritesPerMille = 0
            case .misdirectedReads: drive.misdirectedReadsPerMille = 0
            case .noSpace: drive.newSectorLimit = nil
            default: break
            }
        }
    }

    // MARK: Damage

    /// Flips bits in sectors that hold something, or makes them unreadable.
    func damageSectors(_ index: Int) {
        let fault = faults[index]
        let unit = world.server.sectorBytes
        let sectors = world.server.writtenSectors(
            of: fault.drive, in: range(of: fault.choice, unit: unit))
        guard !sectors.isEmpty else { return }
        var offsets: [UInt64] = []
        for _ in 0..<fault.amount {
            let sector = sectors[Int(below(UInt64(sectors.count), of: index))]
            offsets.append(sector * unit + below(unit, of: index))
        }
        let masks = offsets.map { _ in UInt8(1 << below(8, of: index)) }
        world.server.changeFaults(of: fault.drive) { drive in
            for (offset, mask) in zip(offsets, masks) {
                if fault.name == .bitRot {
                    drive.damage.append(BitDamage(offset: ByteOffset(offset), mask: mask))
                } else {
                    let start = offset / unit * unit
                    drive.unreadable.append(start..<start + unit)
                }
            }
        }
    }

    /// The sectors of a region.
    func range(of region: String, unit: UInt64) -> Range<UInt64> {
        let layout = world.server.layout
        func sectors(_ from: ByteOffset, _ to: ByteOffset) -> Range<UInt64> {
            from.rawValue / unit..<to.rawValue / unit
        }
        switch region {
        case "payload": return sectors(layout.dataStart, layout.journalCopyB)
        case "index": return sectors(layout.indexStart, layout.dataStart)
        case "journal": return sectors(layout.journalCopyA, layout.indexStart)
        case "superblock":
            // One of the two: both at once is another fault.
            return sectors(
                FormatConstants.superblockA,
                FormatConstants.superblockA.advanced(by: FormatConstants.superblockBytes))
        default: return 0..<layout.capacityBytes / unit
        }
    }
}

extension SimulatedServer {
    var sectorBytes: UInt64 { UInt64(plan.sectorBytes) }
}
