// What faults do to the server's machine and process: power cuts, kills, restarts, pauses, clocks
// that jump; and to its drives while it is down.

internal import Engine
internal import Judgement
internal import Sim

extension FaultDirector {
    func strikeServer(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .freeze:
            counts.freezes += 1
            world.server.isFrozen = true
        case .clockJump:
            counts.clockJumps += 1
            world.server.jumpClock(byMicroseconds: fault.amount)
        case .powerCut: cut(index, .powerCut)
        case .processKill: cut(index, .kill)
        // A drained store has no journal to read, and two superblocks that say the same.
        case .damagedAtRest: cut(index, .kill)
        case .restart, .driveAbsent: world.server.beginDrain()
        default: preconditionFailure("\(fault.name) isn't the server's")
        }
        if fault.name.endsByItself, world.server.life == .draining {
            world.schedule(.cutRecovery(index), after: 1000)
        }
    }

    private func cut(_ index: Int, _ death: SimulatedServer.Death) {
        counts.powerCuts += 1
        world.log.noteDeath()
        world.judge.serverEnded()
        world.server.end(death)
        remember(0, of: index)
        world.schedule(.cutRecovery(index), after: max(1, faults[index].lasts))
    }

    /// The next step of a fault that has the server go down and up.
    func cutRecovery(_ index: Int) {
        guard isActive(index) else { return }
        switch world.server.life {
        case .draining, .recovering:
            if mayCutAgain(index) { return cutAgain(index) }
            world.schedule(.cutRecovery(index), after: 500)
        case .stopped:
            world.judge.serverEnded()
            world.server.end(.drained)
            counts.restarts += 1
            world.schedule(.cutRecovery(index), after: max(1, faults[index].lasts))
        case .down:
            changeAtRest(index)
            world.server.start()
            // A recovery takes some milliseconds; the next cut falls into it or just behind it.
            world.schedule(.cutRecovery(index), after: 1 + below(3000, of: index))
        case .serving:
            if faults[index].name == .driveAbsent, faults[index].memory < 2 {
                return bringBack(index)
            }
            finish(index)
        case .refused:
            world.judge.fail(
                Violation(.storeRefusedAfterPowerCut, "the store refuses to start"))
        }
    }

    /// A drive that was missing at a start is there again at the next one, some time later.
    private func bringBack(_ index: Int) {
        let stage = faults[index].memory + 1
        remember(stage, of: index)
        if stage == 2 { world.server.beginDrain() }
        world.schedule(
            .cutRecovery(index), after: stage == 1 ? max(1, faults[index].lasts) : 1000)
    }

    private func mayCutAgain(_ index: Int) -> Bool {
        let fault = faults[index]
        guard fault.name == .powerCut || fault.name == .processKill else { return false }
        return world.server.life == .recovering && fault.memory < fault.amount
    }

    private func cutAgain(_ index: Int) {
        counts.cutsInRecovery += 1
        world.reached.insert(.crashInRecovery)
        let done = faults[index].memory + 1
        world.judge.serverEnded()
        world.server.end(faults[index].name == .powerCut ? .powerCut : .kill)
        remember(done, of: index)
        world.schedule(.cutRecovery(index), after: 1 + below(2000, of: index))
    }

    /// What is done to drives while nobody uses them.
    private func changeAtRest(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .driveAbsent:
            // Away for one life of the server, back for the next.
            world.server.setPresent(fault.memory > 0, of: fault.drive)
        case .damagedAtRest: damageAtRest(index)
        default: break
        }
    }

    private func damageAtRest(_ index: Int) {
        let fault = faults[index]
        guard fault.memory == 0 else { return }
        remember(1, of: index)
        let layout = world.server.layout
        let unit = world.server.sectorBytes
        func damage(_ offset: UInt64) {
            world.server.changeFaults(of: fault.drive) {
                $0.damage.append(BitDamage(offset: ByteOffset(offset), mask: 0x40))
            }
        }
        if fault.choice == "superblock_one" {
            let copy =
                below(2, of: index) == 0
                ? FormatConstants.superblockA : FormatConstants.superblockB
            return damage(copy.rawValue + below(512, of: index))
        }
        let blocks = world.server.writtenSectors(
            of: fault.drive,
            in: layout.journalCopyA.rawValue
                / unit..<(layout.journalCopyA.rawValue
                + layout.journalBytes) / unit)
        guard !blocks.isEmpty else { return }
        let isSecondOnly = below(2, of: index) == 0
        for _ in 0..<fault.amount {
            let place = blocks[Int(below(UInt64(blocks.count), of: index))] * unit
            let second = place - layout.journalCopyA.rawValue + layout.journalCopyB.rawValue
            let isSecondCopy =
                fault.choice == "journal_one_copy" ? isSecondOnly : below(2, of: index) == 0
            let offset = below(unit, of: index)
            switch fault.choice {
            case "journal_both_copies":
                damage(place + offset)
                damage(second + offset)
            default: damage((isSecondCopy ? second : place) + offset)
            }
        }
    }

    /// Starts a server that is down.
    func startServer() {
        if world.server.life == .down { world.server.start() }
    }
}
