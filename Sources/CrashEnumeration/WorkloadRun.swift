// WorkloadRun: carries a workload's steps out on a session.
//
// Before the first step the store holds three blocks: one in the checkpointed index, two in the
// journal alone. "Overwrite" and "delete" take the key written last, else one of those.

import Judgement
import Wire

/// Chooses keys and values, deterministically.
struct WorkloadRun {
    /// Lengths of the values: one slot of the smallest class, one of a larger class, several
    /// blocks.
    static let smallBytes = 3000
    static let mediumBytes = 9000
    static let largeBytes = 40_000

    private var written: [BlockKey] = []
    private var nextKey: UInt64
    private var nextValue: UInt64

    /// Begins with `present` in the store; keys and values are numbered from `number` on.
    init(present: [BlockKey], number: UInt64) {
        written = present
        nextKey = number
        nextValue = number
    }

    /// Fills an empty store, checkpoints the first block alone, and waits; returns the keys.
    static func prefill<Store: StoreUnderTest & ~Copyable>(
        _ session: StoreSession<Store>
    ) throws(Violation) -> [BlockKey] {
        var run = WorkloadRun(present: [], number: 1)
        for bytes in [smallBytes, smallBytes, mediumBytes] {
            try run.putNew(session, bytes)
            try session.run(until: .answered)
            if run.written.count == 1 {
                session.checkpoint()
                try session.run(until: .idle)
            }
        }
        try session.run(until: .idle)
        return run.written
    }

    /// Carries out `workload`, ending idle with every request answered.
    mutating func perform<Store: StoreUnderTest & ~Copyable>(
        _ workload: Workload, pacing: Pacing, on session: StoreSession<Store>
    ) throws(Violation) {
        for step in workload.steps {
            try begin(step, session)
            switch pacing {
            case .oneAtATime: try session.run(until: .idle)
            case .allAtOnce: try session.nudge()
            }
        }
        try session.run(until: .answered)
        try session.run(until: .idle)
    }

    private mutating func begin<Store: StoreUnderTest & ~Copyable>(
        _ step: WorkloadStep, _ session: StoreSession<Store>
    ) throws(Violation) {
        switch step {
        case .put: try putNew(session, Self.smallBytes)
        case .multiSlotPut: try putNew(session, Self.largeBytes)
        case .overwrite:
            guard let key = written.last else { return try putNew(session, Self.smallBytes) }
            try session.put(key, value(Self.smallBytes))
        case .delete:
            guard let key = written.popLast() else { return }
            try session.delete(key)
        case .evict:
            // One small block is asked for; a store that evicts whole blocks may take a large one
            // for it.
            session.evict(
                bytes: session.settings.slotBytes(forValueOf: Self.smallBytes),
                permitted: UInt64(Self.largeBytes))
        case .checkpoint: session.checkpoint()
        }
    }

    private mutating func putNew<Store: StoreUnderTest & ~Copyable>(
        _ session: StoreSession<Store>, _ bytes: Int
    ) throws(Violation) {
        let key = Self.key(nextKey)
        nextKey += 1
        try session.put(key, value(bytes))
        written.append(key)
    }

    private mutating func value(_ bytes: Int) -> [UInt8] {
        nextValue += 1
        return StampedValue.bytes(number: nextValue, count: bytes)
    }

    static func key(_ number: UInt64) -> BlockKey {
        BlockKey(
            namespace: Namespace(7),
            words: (
                BlockKey.finalize(number), BlockKey.finalize(number &+ 1000),
                BlockKey.finalize(number &+ 2000), number
            ))
    }
}
