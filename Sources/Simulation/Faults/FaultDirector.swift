// FaultDirector: draws a run's faults from the seed inside the scenario's ranges, and has them
// begin and end.
//
// Always holds: a fault's draws come from a stream of its own, so that another fault changes none
// of them; what a fault may cost is told to the judge before it strikes; every fault ends.

internal import Client
internal import Engine
internal import Judgement
internal import Sim
internal import Wire

/// A fault with everything picked.
struct PlannedFault {
    let plan: FaultPlan
    let beginsAt: UInt64
    let lasts: UInt64
    let drive: Int
    let client: Int
    let amount: UInt64
    let choice: String
    var random: RandomStream
    var isOver = false
    var isActive = false
    /// What it set, to be taken back.
    var memory: UInt64 = 0

    var name: FaultName { plan.name }
}

final class FaultDirector {
    unowned let world: World
    private(set) var faults: [PlannedFault] = []
    let durationMicroseconds: UInt64
    private(set) var struck: UInt64 = 0
    var counts = FeltCounts()
    /// Connections of strangers.
    var attackers: [SimulatedConnection] = []

    init(world: World, seed: UInt64) {
        self.world = world
        var random = RandomStream(seed: seed, name: "faults")
        durationMicroseconds = world.scenario.durationMicroseconds.draw(from: &random)
        for plan in world.scenario.faults {
            for _ in 0..<plan.times.draw(from: &random) {
                faults.append(draw(plan, number: faults.count, seed: seed, clients: world))
            }
        }
    }

    private func draw(
        _ plan: FaultPlan, number: Int, seed: UInt64, clients world: World
    ) -> PlannedFault {
        var random = RandomStream(seed: seed, name: "fault", incarnation: UInt64(number))
        let shape = plan.name.shape
        let choice = plan.choice ?? ""
        let drives = UInt64(world.server.plan.driveCount)
        let at = plan.atMicroseconds.draw(from: &random)
        let lasts = plan.lastsMicroseconds.draw(from: &random)
        let drive = Int(plan.drive ?? random.below(drives)) % Int(drives)
        let clientCount = UInt64(world.network.links.count)
        let client = Int(plan.client ?? random.below(clientCount)) % Int(clientCount)
        let amount = plan.amount.draw(from: &random)
        let picked =
            choice.isEmpty && !shape.choices.isEmpty
            ? shape.choices[Int(random.below(UInt64(shape.choices.count)))] : choice
        return PlannedFault(
            plan: plan, beginsAt: at, lasts: lasts, drive: drive, client: client, amount: amount,
            choice: picked, random: random)
    }

    /// From now on they strike.
    func begin() {
        let first = faults.filter(\.name.shape.strikesDrive).min { $0.beginsAt < $1.beginsAt }
        world.judge.strickenDrive = first?.drive
        for index in faults.indices {
            world.schedule(.beginFault(index), after: faults[index].beginsAt)
        }
    }

    var areOver: Bool { faults.allSatisfy(\.isOver) && world.server.life == .serving }

    // MARK: Turns

    func begin(_ index: Int) {
        guard mayBegin(faults[index]) else {
            // Two deaths at once are one.
            world.schedule(.beginFault(index), after: 10_000)
            return
        }
        faults[index].isActive = true
        struck += 1
        world.judge.allow(faults[index].allowedLosses)
        world.log.faultBegan(index, faults[index])
        world.sim.note(
            .struck, UInt64(index), faults[index].amount, UInt64(faults[index].drive))
        if faults[index].name.shape.strikesDrive { world.noteFence(of: faults[index].drive) }
        strike(index)
        if !faults[index].plan.name.shape.lasts {
            finish(index)
        } else if !faults[index].name.endsByItself {
            world.schedule(.endFault(index), after: max(1, faults[index].lasts))
        }
    }

    private func mayBegin(_ fault: PlannedFault) -> Bool {
        guard fault.name.needsServer else { return true }
        let isDeath = fault.name == .powerCut || fault.name == .processKill
        if isDeath, world.server.life == .draining { return true }
        return world.server.life == .serving && !world.server.isFrozen
    }

    func end(_ index: Int) {
        guard faults[index].isActive else { return }
        heal(index)
        finish(index)
    }

    func finish(_ index: Int) {
        faults[index].isActive = false
        faults[index].isOver = true
        world.sim.note(.ended, UInt64(index), 0, 0)
        world.log.faultEnded(index)
    }

    func isActive(_ name: FaultName) -> Bool {
        faults.contains { $0.isActive && $0.name == name }
    }

    func isActive(_ index: Int) -> Bool { faults[index].isActive }

    func remember(_ word: UInt64, of index: Int) { faults[index].memory = word }

    func below(_ bound: UInt64, of index: Int) -> UInt64 { faults[index].random.below(bound) }

    private func strike(_ index: Int) {
        switch faults[index].name {
        case .driveOffline, .driveSlow, .driveStall, .flushStall, .flushError, .lostWrites,
            .tornWrites, .misdirectedWrites, .misdirectedReads, .noSpace:
            strikeDrive(index)
        case .bitRot, .unreadableSectors: damageSectors(index)
        case .damagedAtRest, .driveAbsent, .powerCut, .processKill, .restart, .freeze, .clockJump:
            strikeServer(index)
        case .connectionLoss, .partition, .slowNetwork: strikeNetwork(index)
        case .clientDeath, .slowClient: strikeClient(index)
        case .connectionFlood, .hostileFrames: attack(index)
        case .portDown, .queuePairError, .creditsExceeded, .deathInRemoteWrite, .lateRemoteWrites:
            strikeRemote(index)
        }
    }

    private func heal(_ index: Int) {
        switch faults[index].name {
        case .driveOffline, .driveSlow, .driveStall, .flushStall, .flushError, .lostWrites,
            .tornWrites, .misdirectedWrites, .misdirectedReads, .noSpace:
            healDrive(index)
        case .freeze: world.server.thaw()
        case .connectionLoss, .partition, .slowNetwork: healNetwork(index)
        case .clientDeath, .slowClient: healClient(index)
        case .connectionFlood, .hostileFrames: endAttack(index)
        case .portDown, .queuePairError, .creditsExceeded, .deathInRemoteWrite, .lateRemoteWrites:
            healRemote(index)
        case .bitRot, .unreadableSectors, .damagedAtRest, .driveAbsent, .powerCut, .processKill,
            .restart, .clockJump:
            break
        }
    }

    /// A fault that strikes again and again.
    func turn(_ index: Int) {
        guard faults[index].isActive else { return }
        switch faults[index].name {
        case .driveSlow: turnSlowness(index)
        case .connectionLoss: turnLoss(index)
        case .slowClient: turnSlowClient(index)
        case .hostileFrames: turnAttack(index)
        case .queuePairError, .creditsExceeded: turnRemote(index)
        default: break
        }
    }
}

extension PlannedFault {
    /// What it may cost that was acknowledged.
    var allowedLosses: LossCauses {
        switch name {
        // A drive that returns while one is out that took changes meanwhile comes back empty.
        case .driveOffline, .driveAbsent, .flushError: [.absence, .emptiedDrive]
        // After a minute it is given up.
        case .driveStall: lasts < 59_000_000 ? .shedding : [.shedding, .absence, .emptiedDrive]
        case .flushStall, .driveSlow: .shedding
        // The other copy knows all of it.
        case .damagedAtRest where choice == "journal_one_copy" || choice == "superblock_one": []
        case .lostWrites, .tornWrites, .misdirectedWrites, .misdirectedReads, .damagedAtRest:
            [.damage, .emptiedDrive, .absence]
        case .bitRot, .unreadableSectors: [.damage, .emptiedDrive, .absence]
        // A full file system fences a drive whose journal has no room.
        case .noSpace: [.absence, .emptiedDrive]
        case .powerCut, .processKill, .restart, .freeze,
            .clockJump, .connectionLoss, .partition, .slowNetwork, .clientDeath, .slowClient,
            .connectionFlood, .hostileFrames, .portDown, .queuePairError, .creditsExceeded,
            .deathInRemoteWrite, .lateRemoteWrites:
            []
        }
    }
}

extension FaultName {
    /// It waits for a server that serves.
    var needsServer: Bool {
        switch self {
        case .damagedAtRest, .driveAbsent, .powerCut, .processKill, .restart, .freeze, .clockJump,
            .bitRot, .unreadableSectors, .connectionFlood, .hostileFrames:
            true
        default: false
        }
    }

    /// Its end is an event of its own rather than of time.
    var endsByItself: Bool {
        switch self {
        case .damagedAtRest, .driveAbsent, .powerCut, .processKill, .restart: true
        default: false
        }
    }
}
