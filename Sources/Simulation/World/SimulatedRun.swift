// SimulatedRun: one run of a scenario under a seed, from the formatting of the drives to the
// verdict.
//
//   format ─► start ─► safety act: work and faults ─► liveness act: no faults, everything converges
//
// Always holds: the liveness act begins when the last fault has ended; in it every request must be
// answered with a result or a miss, every key is read back, new blocks are taken, and the server
// drains. The first broken promise ends the run.

internal import Client
internal import Engine
internal import Judgement
internal import QueuePairs
internal import Sim
internal import Wire

/// Runs scenarios.
package enum SimulatedRun {
    /// Called with each event: its number, the virtual time in nanoseconds, what it was, three
    /// words.
    package typealias Tracer = (UInt64, UInt64, String, UInt64, UInt64, UInt64) -> Void

    #if PLANTED_BUGS
    /// Mistakes that a test build can plant.
    package static var plantableMistakes: [String] {
        PlantedBug.allCases.map(\.rawValue) + PlantedClientBug.allCases.map(\.rawValue)
            + PlantedQueuePairBug.allCases.map(\.rawValue)
    }

    /// Of these, what no run of this world can bring to light: a store has one format in it, and is
    /// never served in two parts.
    package static let mistakesBeyondThisWorld = [
        PlantedBug.versionIgnored.rawValue, PlantedBug.forkUndetected.rawValue,
    ]
    #endif

    /// A run's report, its real time left to the caller.
    package static func run(
        _ scenario: Scenario, seed: UInt64, trace: Tracer? = nil
    ) -> RunReport {
        let world = World(scenario, seed: seed)
        if let trace {
            world.sim.observer = { number, now, event, first, second, third in
                trace(number, now.nanoseconds, "\(event)", first, second, third)
            }
        }
        var violation: Violation?
        do throws(Violation) {
            try world.perform()
        } catch { violation = error }
        defer { world.server.end(.kill) }
        return world.log.report(violation)
    }
}

extension World {
    func perform() throws(Violation) {
        server.format()
        server.start()
        log.begin()
        try run("the first start", limitMicroseconds: 30_000_000, orElse: .recoveryNeverEnds) {
            server.life == .serving
        }
        try safetyAct()
        try livenessAct()
    }

    private func safetyAct() throws(Violation) {
        faults.begin()
        for client in clients { client.begin() }
        let duration = faults.durationMicroseconds
        let end = now.advanced(byMicroseconds: duration)
        try run(
            "the safety act", limitMicroseconds: duration * 4 + 60_000_000, orElse: .worldStalls
        ) {
            now >= end && faults.areOver
        }
    }

    private func livenessAct() throws(Violation) {
        judge.beginLiveness()
        for client in clients { client.stop() }
        let patience = judge.longestDeadlineMicroseconds + 70_000_000
        try run(
            "requests of the safety act", limitMicroseconds: patience,
            orElse: .requestNeverAnswered
        ) {
            clients.allSatisfy { $0.isIdle }
        }
        if server.life == .serving, server.report.health != .healthy {
            // What was fenced stays so until somebody starts the server anew.
            try drain()
        }
        if server.life != .serving {
            try run("a start", limitMicroseconds: 120_000_000, orElse: .recoveryNeverEnds) {
                if server.life == .refused { return true }
                if server.life == .stopped { server.end(.drained) }
                if server.life == .down {
                    judge.serverEnded()
                    server.bringBackDrives()
                    server.start()
                }
                return server.life == .serving
            }
            if server.life == .refused {
                throw Violation(.storeRefusedAfterPowerCut, "a drive is refused after its faults")
            }
        }
        try converge()
    }

    private func drain() throws(Violation) {
        server.beginDrain()
        try run("a drain", limitMicroseconds: 120_000_000, orElse: .drainNeverEnds) {
            server.life == .stopped
        }
        judge.serverEnded()
        server.end(.drained)
    }

    private func converge() throws(Violation) {
        // What was given up goes on by itself and may still change something.
        try run("quiet", limitMicroseconds: 70_000_000, orElse: .requestNeverAnswered) {
            server.report.operationsInFlight == 0
        }
        try judge.expectHealthy()
        judge.beginReadBack()
        for client in clients { client.readBack() }
        try run("the read-back", limitMicroseconds: 600_000_000, orElse: .requestNeverAnswered) {
            clients.allSatisfy { $0.isIdle }
        }
        // Damage that was found is set aside after the answer.
        try run("quiet", limitMicroseconds: 70_000_000, orElse: .requestNeverAnswered) {
            server.report.operationsInFlight == 0
        }
        try judge.endReadBack()
        for client in clients { client.putNew() }
        try run("new blocks", limitMicroseconds: 600_000_000, orElse: .requestNeverAnswered) {
            clients.allSatisfy { $0.isIdle }
        }
        try judge.endNewBlocks()
        for client in clients { client.close() }
        try run("quiet", limitMicroseconds: 70_000_000, orElse: .memoryNotReturned) {
            server.report.slabsAllocated == 0
        }
        try judge.judgeEnd()
        try drain()
    }
}
