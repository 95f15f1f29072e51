// StoreSession: one life of a store, from power on to power off, with its clients and its ledger.
//
// Always holds: the ledger gets each request before the store does and each reply at the instant
// the store gives it; time moves only when the store has nothing to do; a goal that isn't reached
// in the step budget is a violation by name, never an endless loop.

import Engine
package import Judgement
package import Sim
import Wire

/// What a session runs until.
enum SessionGoal {
    /// Nothing in flight and nothing left to do.
    case idle
    case serving
    case stopped
    /// Every request is answered.
    case answered
}

/// A store at work.
package final class StoreSession<Store: StoreUnderTest & ~Copyable> {
    package let world: SimulatedWorld
    package let device: SimulatedDevice
    package private(set) var ledger: Ledger
    let settings: CrashSettings
    private let transport: SimulatedTransport
    private var store: Store
    private let incarnation: UInt64
    private var trace: TraceOracle
    private var violation: Violation?
    private var answers: [UInt64: Reply] = [:]

    /// Powers a store on over `images`.
    package init(
        settings: CrashSettings, images: [DriveImage], ledger: Ledger, memory: SimulatedMemory,
        incarnation: UInt64, values: ValueBook
    ) {
        self.settings = settings
        self.ledger = ledger
        self.incarnation = incarnation
        let plan = MemoryPlan(
            settings: settings, privateBytes: Store.privateMemory(for: settings.engine))
        world = SimulatedWorld()
        let slabs = SlabPool(
            arena: memory.arena, region: plan.slabs,
            slabBytes: ByteCount(UInt64(settings.blockSizeBytes)))
        device = SimulatedDevice(
            drives: images.map {
                SimulatedDriveSetup(image: $0, supportsDiscard: settings.supportsDiscard)
            }, world: world, arena: memory.arena, operationLimit: 256, seed: settings.seed,
            incarnation: incarnation)
        transport = SimulatedTransport(
            world: world, pool: slabs, memory: plan.transport, capacity: settings.requestLimit)
        store = Store(
            configuration: settings.engine, device: device, transport: transport,
            memory: EngineMemory(
                arena: memory.arena, privateRange: plan.engine, slabs: slabs))
        trace = TraceOracle(values: values)
        transport.replyObserver = { [unowned self] reply in receive(reply) }
    }

    /// Arms the device's oracles and calls `observer` at every moment of every operation.
    func watch(_ observer: @escaping (DeviceMoment, UInt64, DeviceOperation) -> Void) {
        device.observer = { [unowned self] moment, serial, operation in
            if moment == .beforeSubmission && settings.isTraceArmed {
                trace.willSubmit(operation, device: device, ledger: ledger)
            }
            observer(moment, serial, operation)
        }
    }

    func stopWatching() { device.observer = nil }

    // MARK: Requests

    /// Puts `value` under `key`, without waiting.
    func put(_ key: BlockKey, _ value: [UInt8]) throws(Violation) {
        trace.values.enter(key, value)
        try change(RequestOrder(.tcpPut, key, payload: value), key, leaves: .value(value))
    }

    /// Deletes `key`, without waiting.
    func delete(_ key: BlockKey) throws(Violation) {
        try change(RequestOrder(.tcpDelete, key), key, leaves: .absent)
    }

    /// Asks the store to evict; `permitted` bytes of values may vanish from now on.
    func evict(bytes: UInt64, permitted: UInt64) {
        ledger.permitEviction(bytes: permitted)
        store.requestEviction(bytes: ByteCount(bytes))
    }

    /// Tells the ledger of a reading when nothing of `key` is in progress.
    func observe(_ key: BlockKey, _ reading: Reading) throws(Violation) {
        try ledger.observe(key, reading, isAfterPowerCut: true)
    }

    /// A fault that may cost a block has met `key`.
    func lose(_ key: BlockKey) { ledger.mayBeLost(key) }

    func checkpoint() { store.requestCheckpoint() }

    /// Reads `key` and waits for the answer.
    func read(_ key: BlockKey) throws(Violation) -> Reading {
        guard let number = transport.send(RequestOrder(.tcpGet, key)) else {
            throw Violation(.requestNeverAnswered, "no place for a get")
        }
        try run(until: .answered)
        guard let reply = answers.removeValue(forKey: number.rawValue) else {
            throw Violation(.requestNeverAnswered, "the get of \(key)")
        }
        let reading = Reading(reply)
        if !reply.isPayloadWhole, ledger.judge(key, reading) == nil {
            throw Violation(.responseChecksumWrong, "the right bytes of \(key), another checksum")
        }
        return reading
    }

    /// Reads every key the ledger knows, and takes what is found for their state.
    func readBack(isAfterPowerCut: Bool) throws(Violation) -> [Reading] {
        var found: [Reading] = []
        for key in ledger.keys {
            let reading = try read(key)
            try ledger.observe(key, reading, isAfterPowerCut: isAfterPowerCut)
            found.append(reading)
        }
        ledger.endObservation()
        return found
    }

    /// Every value that was put in this life and the ones before.
    var values: ValueBook { trace.values }
    var phase: EnginePhase { store.phase }
    var complaint: String { store.complaint }
    var usedBytes: UInt64 { store.usedBytes }
    var blockCount: UInt64 { store.blockCount }
    func beginDrain() { store.beginDrain() }

    private func change(
        _ order: RequestOrder, _ key: BlockKey, leaves: KeyState
    ) throws(Violation) {
        // The ledger must know the request before the store can answer it.
        guard let number = transport.send(order) else {
            throw Violation(.requestNeverAnswered, "no place for another request")
        }
        ledger.begun(ledgerName(number.rawValue), key, leaves: leaves)
    }

    private func ledgerName(_ number: UInt64) -> UInt64 { incarnation << 40 | number }

    private func receive(_ reply: Reply) {
        guard violation == nil else { return }
        if reply.order.operation == .tcpGet {
            answers[reply.request.rawValue] = reply
            return
        }
        do throws(Violation) {
            try ledger.answered(ledgerName(reply.request.rawValue), reply.status)
            if settings.isTraceArmed, reply.order.operation == .tcpPut, reply.status == .ok {
                try trace.putAcknowledged(reply.order.payload, device: device)
            }
        } catch { violation = error }
    }

    // MARK: Time

    /// Lets the store take what was sent, without letting time pass.
    func nudge() throws(Violation) {
        _ = store.step(now: world.now)
        try endStep()
    }

    var unansweredCount: Int { transport.unansweredCount }

    /// Lets the next thing happen that the store waits for.
    func passTime() throws(Violation) {
        while store.step(now: world.now) { try endStep() }
        try endStep()
        guard let next = nextInstant else { return }
        world.advance(to: next)
        device.advance()
    }

    /// Runs until `goal`; fails by name when the store stops, refuses or never gets there.
    func run(until goal: SessionGoal) throws(Violation) {
        for _ in 0..<settings.stepBudget {
            if isReached(goal) { return }
            if store.phase == .refused {
                throw Violation(.storeRefusedAfterPowerCut, store.complaint)
            }
            let isBusy = store.step(now: world.now)
            try endStep()
            if isBusy || device.hasCompletion { continue }
            if goal == .idle && isQuiet { return }
            guard let next = nextInstant else { break }
            world.advance(to: next)
            device.advance()
        }
        if isReached(goal) { return }
        throw Violation(
            goal.assertion,
            "phase \(store.phase), \(transport.unansweredCount) requests unanswered, "
                + "\(device.inFlightCount) operations in flight, \(store.complaint)")
    }

    private func endStep() throws(Violation) {
        if violation == nil { violation = trace.endStep(ledger: ledger) }
        if let violation { throw violation }
    }

    private func isReached(_ goal: SessionGoal) -> Bool {
        switch goal {
        case .idle: false
        case .serving: store.phase == .serving
        case .stopped: store.phase == .stopped
        case .answered: transport.unansweredCount == 0
        }
    }

    /// Nothing in flight, and no timer within a second.
    private var isQuiet: Bool {
        device.inFlightCount == 0 && transport.queuedCount == 0
            && (store.nextWake == .never
                || store.nextWake > world.now.advanced(byMicroseconds: 1_000_000))
    }

    private var nextInstant: Instant? {
        let wake = max(store.nextWake, world.now.advanced(byMicroseconds: 1))
        guard let event = device.nextEventTime else {
            return store.nextWake == .never ? nil : wake
        }
        return store.nextWake == .never ? event : min(event, wake)
    }
}

extension SessionGoal {
    /// What is violated when the goal is never reached.
    var assertion: Assertion {
        switch self {
        case .idle, .answered: .requestNeverAnswered
        case .serving: .recoveryNeverEnds
        case .stopped: .drainNeverEnds
        }
    }
}

extension Reading {
    init(_ reply: Reply) {
        switch reply.status {
        // Success promises verified bytes: they are judged as they are, whatever a client would
        // check.
        case .ok: self = .hit(reply.payload)
        case .notFound: self = .miss
        default: self = .refused(reply.status)
        }
    }
}

/// Where a session's memory lies.
struct MemoryPlan {
    let engine: ArenaRange
    let slabs: ArenaRange
    let transport: ArenaRange
    /// Bytes of the whole.
    let length: ByteCount

    init(settings: CrashSettings, privateBytes: ByteCount) {
        let page = ByteCount(UInt64(4096))
        let formatter = DriveFormatter.memoryBytes
        let engineBytes = max(privateBytes, formatter).roundedUp(to: page)
        let slabBytes = ByteCount(settings.slabCount * Int(settings.blockSizeBytes))
        let transportBytes = SimulatedTransport.memory(capacity: settings.requestLimit)
            .roundedUp(to: page)
        length = ByteCount(engineBytes.rawValue + slabBytes.rawValue + transportBytes.rawValue)
        var planner = ArenaPlanner(length: length)
        guard let engine = planner.take(engineBytes), let slabs = planner.take(slabBytes),
            let transport = planner.take(transportBytes)
        else { preconditionFailure("the memory plan doesn't fit its own sum") }
        self.engine = engine
        self.slabs = slabs
        self.transport = transport
    }
}
