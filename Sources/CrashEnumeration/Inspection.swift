// Inspection: what is demanded of a store that has just been powered on over what a crash left.
//
// In order: it serves; every key reads as the ledger allows; slots in use are exactly those that
// the blocks found need; it takes one more block and, the power cut right after, still shows the
// same; it takes, serves and forgets new blocks; it drains; powered on again it shows the same.

import Engine
import Judgement
import Sim
import Wire

/// The judge of one image.
struct Inspection<Store: StoreUnderTest & ~Copyable> {
    let settings: CrashSettings
    let memory: SimulatedMemory

    /// What an inspection found.
    struct Finding {
        let readings: [Reading]
        /// Crash points of the recovery; empty unless they were asked for.
        let recovery: [CrashPoint]
        let fingerprint: UInt64
        let recoveries: Int
        let landed: Int
        let lost: Int
    }

    /// Powers on over `images` and judges. `expected`: what an undisturbed recovery from the same
    /// crash saw.
    func inspect(
        _ images: [DriveImage], ledger: Ledger, incarnation: UInt64, isRecording: Bool,
        hasAftercare: Bool, expected: [Reading]?
    ) throws(Violation) -> Finding {
        let session = StoreSession<Store>(
            settings: settings, images: images, ledger: ledger, memory: memory,
            incarnation: incarnation, values: ValueBook())
        let recorder = CrashRecorder()
        if isRecording { recorder.attach(to: session) }
        try session.run(until: .serving)
        try session.run(until: .idle)
        if isRecording { recorder.finish(session) }
        let unfinished = ledger.keys.filter { ledger.isUnfinished($0) }
        let readings = try session.readBack(isAfterPowerCut: true)
        try compare(readings, expected, ledger)
        try judgeSpace(session, readings)
        var fingerprint = session.world.fingerprint
        var recoveries = 1
        if hasAftercare {
            fingerprint.add(try care(for: session, incarnation))
            recoveries += 2
        }
        let landed = zip(ledger.keys, readings).count { key, reading in
            guard unfinished.contains(key), case .hit(let bytes) = reading else { return false }
            return !ledger.isStanding(key, value: bytes)
        }
        return Finding(
            readings: readings, recovery: recorder.points, fingerprint: fingerprint.value,
            recoveries: recoveries, landed: landed, lost: unfinished.count - landed)
    }

    private func compare(
        _ readings: [Reading], _ expected: [Reading]?, _ ledger: Ledger
    ) throws(Violation) {
        guard let expected else { return }
        for (index, key) in ledger.keys.enumerated() where readings[index] != expected[index] {
            throw Violation(
                .outcomeChangedAfterRecovery,
                "key \(key.hexadecimal.prefix(16)) is a \(readings[index].kind), undisturbed "
                    + "recovery yields a \(expected[index].kind)")
        }
    }

    private func judgeSpace(
        _ session: StoreSession<Store>, _ readings: [Reading]
    ) throws(Violation) {
        var bytes: UInt64 = 0
        var blocks: UInt64 = 0
        for case .hit(let value) in readings {
            bytes += settings.slotBytes(forValueOf: value.count)
            blocks += 1
        }
        if session.blockCount != blocks {
            throw Violation(
                .blockCountWrong, "the store counts \(session.blockCount), \(blocks) can be read")
        }
        if session.usedBytes != bytes {
            throw Violation(
                .spaceNotConserved,
                "\(session.usedBytes) bytes in use, the \(blocks) blocks take \(bytes)")
        }
    }

    /// One more block and a power cut, then new blocks, a drain and a clean restart; returns the
    /// fingerprint of the last life.
    private func care(
        for recovered: StoreSession<Store>, _ incarnation: UInt64
    ) throws(Violation) -> UInt64 {
        let session = try cutAfterOneBlock(recovered, incarnation + 1)
        try takeNewBlocks(session)
        let before = try session.readBack(isAfterPowerCut: false)
        session.beginDrain()
        try session.run(until: .stopped)
        // A drained store has flushed what it needs: whatever it hasn't is lost.
        let state = session.device.crashState()
        let sectors = state.unflushedSectors()
        let images = state.resolved(
            sectors, as: sectors.map { _ in .garbage }, garbageSeed: settings.seed)
        let restarted = StoreSession<Store>(
            settings: settings, images: images, ledger: session.ledger, memory: memory,
            incarnation: incarnation + 2, values: session.values)
        try restarted.run(until: .serving)
        for (index, key) in session.ledger.keys.enumerated() {
            let reading = try restarted.read(key)
            if reading != before[index] {
                throw Violation(
                    .blockLostByCleanRestart,
                    "key \(key.hexadecimal.prefix(16)) reads differently after drain and restart")
            }
        }
        try judgeSpace(restarted, before)
        return restarted.world.fingerprint.value
    }

    /// What the first new record stands before must not come to life: an old tail, above all.
    private func cutAfterOneBlock(
        _ recovered: StoreSession<Store>, _ incarnation: UInt64
    ) throws(Violation) -> StoreSession<Store> {
        let key = WorkloadRun.key(9000)
        try recovered.put(
            key, StampedValue.bytes(number: 9000, count: WorkloadRun.smallBytes))
        try recovered.run(until: .answered)
        let state = recovered.device.crashState()
        let sectors = state.unflushedSectors()
        let session = StoreSession<Store>(
            settings: settings,
            images: state.resolved(
                sectors, as: sectors.map { _ in .garbage }, garbageSeed: settings.seed),
            ledger: recovered.ledger, memory: memory, incarnation: incarnation,
            values: recovered.values)
        try session.run(until: .serving)
        try session.run(until: .idle)
        let readings = try session.readBack(isAfterPowerCut: true)
        try judgeSpace(session, readings)
        return session
    }

    private func takeNewBlocks(_ session: StoreSession<Store>) throws(Violation) {
        let keys = [WorkloadRun.key(9001), WorkloadRun.key(9002)]
        let values = [
            StampedValue.bytes(number: 9001, count: WorkloadRun.smallBytes),
            StampedValue.bytes(number: 9002, count: WorkloadRun.largeBytes),
        ]
        for (key, value) in zip(keys, values) {
            try session.put(key, value)
            try session.run(until: .answered)
            guard try session.read(key) == .hit(value) else {
                throw Violation(.newBlocksRefused, "a put after recovery can't be read")
            }
        }
        try session.delete(keys[0])
        try session.run(until: .answered)
        guard try session.read(keys[0]) == .miss else {
            throw Violation(.newBlocksRefused, "a delete after recovery had no effect")
        }
    }
}
