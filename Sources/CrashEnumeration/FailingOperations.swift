// FailingOperations: each of a workload's operations fails in turn, or the drive goes away at it.
//
// Demanded: every request is answered; what is served meanwhile is legal; and when the drive comes
// back without the fault, after a power cut, everything is as the ledger allows: an operation whose
// flush failed was answered "unknown" or truthfully.

import Engine
import Judgement
import Sim

/// One fault, at one operation of a run.
private struct InjectedFault {
    let action: DeviceAction?
    let error: DeviceError
    /// Counted from the workload's beginning, among operations of this action, or among all for a
    /// drive that goes away.
    let ordinal: UInt64

    /// The faults of a drive that has behaved so far.
    func faults(on device: SimulatedDevice) -> DriveFaults {
        var faults = DriveFaults()
        if let action {
            let base = device.submitted(action, to: DriveIndex(0))
            faults.failures = [
                PlannedFailure(action: action, ordinal: base + ordinal, error: error)
            ]
        } else {
            faults.goneFromOperation = device.submittedCount + ordinal
        }
        return faults
    }

    /// True when the run that began with these counts came as far as the fault.
    func wasReached(on device: SimulatedDevice, _ faults: DriveFaults) -> Bool {
        if let failure = faults.failures.first {
            return device.submitted(failure.action, to: DriveIndex(0)) > failure.ordinal
        }
        return device.submittedCount > faults.goneFromOperation ?? .max
    }
}

extension Enumeration where Store: ~Copyable {
    /// Walks through a few workloads, kinds of failure and operations.
    mutating func runFailingOperations() throws(FoundViolation) {
        let workloads = ["put,overwrite,delete", "overwrite,checkpoint,put", "multi,delete,multi"]
            .compactMap { Workload($0) }
        let kinds: [(action: DeviceAction?, error: DeviceError)] = [
            (.write, .inputOutput), (.flush, .inputOutput), (.read, .inputOutput),
            (.read, .medium), (nil, .gone),
        ]
        for workload in workloads {
            for pacing in Pacing.allCases {
                for kind in kinds {
                    var ordinal: UInt64 = 0
                    let place = CrashPlace(workload: workload, pacing: pacing)
                    while try fail(
                        InjectedFault(action: kind.action, error: kind.error, ordinal: ordinal),
                        place)
                    {
                        ordinal += 1
                    }
                }
            }
        }
    }

    /// Runs with one fault and judges; false when the workload ended before the fault.
    private mutating func fail(
        _ fault: InjectedFault, _ place: CrashPlace
    ) throws(FoundViolation) -> Bool {
        let start = try started(place)
        let words =
            "\(fault.error) at \(fault.action.map { "\($0)" } ?? "operation") \(fault.ordinal)"
        let session: StoreSession<Store>
        let isReached: Bool
        do throws(Violation) {
            session = StoreSession<Store>(
                settings: settings, images: start.images, ledger: start.ledger, memory: memory,
                incarnation: 2, values: start.values)
            try session.run(until: .serving)
            try session.run(until: .idle)
            session.watch { _, _, _ in }
            let faults = fault.faults(on: session.device)
            session.device.setFaults(faults, of: DriveIndex(0))
            var run = WorkloadRun(present: start.keys, number: 100)
            try run.perform(place.workload, pacing: place.pacing, on: session)
            try readUnderFault(session, isMediaFault: fault.action == .read)
            isReached = fault.wasReached(on: session.device, faults)
        } catch {
            throw FoundViolation(violation: error, place: place, circumstances: words)
        }
        counts.recoveries += 1
        fingerprint.add(session.world.fingerprint.value)
        let state = session.device.crashState()
        let sectors = state.unflushedSectors()
        var plan = [sectors.map { _ in SectorOutcome.version(0) }, sectors.map(\.newest)]
        plan += OutcomePlan.sample(sectors, count: 2, seed: settings.seed, fault.ordinal)
        for outcomes in plan {
            counts.images += 1
            _ = try inspect(
                state.resolved(sectors, as: outcomes, garbageSeed: settings.seed),
                session.ledger, place, words)
        }
        return isReached
    }

    /// Whatever is served must be legal; a sector that couldn't be read may have cost its block for
    /// good.
    private func readUnderFault(
        _ session: StoreSession<Store>, isMediaFault: Bool
    ) throws(Violation) {
        for key in session.ledger.keys {
            let reading = try session.read(key)
            if case .hit = reading {
                if let violation = session.ledger.judge(key, reading) { throw violation }
            } else if isMediaFault {
                session.lose(key)
            }
        }
    }
}
