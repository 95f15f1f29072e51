// World: a server, a network, clients and their judge under one virtual clock, in one thread.
//
// Always holds: what is due happens in the order of (time, sequence); time moves only when nobody
// has anything to do, to the next instant at which somebody has; the same scenario and seed give
// the same events, whatever machine, process or build runs them: no table with an order of its own
// is walked through, no clock is read.

internal import Client
internal import Engine
internal import Judgement
internal import Sim
internal import Wire

/// What is going to happen.
enum WorldAction {
    case opened(SimulatedConnection)
    case arrival(SimulatedConnection, Direction, Int, ends: Bool)
    case reset(SimulatedConnection)
    /// A client may go on after a pause.
    case client(Int)
    /// A request comes to a client by itself.
    case request(Int)
    case sample
    case beginFault(Int)
    case endFault(Int)
    /// A fault that strikes again and again has its next turn.
    case faultTurn(Int)
    case startServer
    case cutRecovery(Int)
    /// Something of RDMA's.
    case remote(() -> Void)
}

final class World {
    let scenario: Scenario
    let seed: UInt64
    let sim = SimulatedWorld()
    let beganAt: Instant
    private var events = EventQueue()
    /// What the queue's numbers stand for.
    private var actions: [WorldAction?] = []
    private var freeActions: [Int] = []
    private(set) var network: SimulatedNetwork!
    private(set) var server: SimulatedServer!
    private(set) var clients: [WorkloadClient] = []
    private(set) var judge: Judge!
    private(set) var faults: FaultDirector!
    private(set) var log: RunLog!
    var reached = ReachedStates()
    var remoteCounts = RemoteCounts()
    /// The link of the server's RDMA port.
    var isRemotePortUp = true
    private var turnsAtOneTime = 0

    init(_ scenario: Scenario, seed: UInt64) {
        self.scenario = scenario
        self.seed = seed
        beganAt = sim.now
        let workload = WorkloadPlan(scenario, seed: seed)
        let plan = ServerPlan(scenario, seed: seed, valueLimitBytes: workload.valueLimitBytes)
        network = SimulatedNetwork(
            shape: scenario.network, world: self, clients: workload.clients.count, seed: seed)
        server = SimulatedServer(plan: plan, world: self, seed: seed)
        judge = Judge(workload: workload, world: self, seed: seed)
        faults = FaultDirector(world: self, seed: seed)
        log = RunLog(world: self)
        clients = workload.clients.indices.map { index in
            WorkloadClient(index, plan: workload.clients[index], world: self, seed: seed)
        }
    }

    var now: Instant { sim.now }

    /// Since the run began.
    var elapsedMicroseconds: UInt64 { now.microseconds(since: beganAt) }

    func note(_ event: WorldEvent, _ first: UInt64, _ second: UInt64) {
        sim.note(event, first, second, 0)
        log.note(event, first, second)
    }

    // MARK: Events

    func schedule(_ action: WorldAction, at time: Instant) {
        let place: Int
        if let free = freeActions.popLast() {
            place = free
            actions[free] = action
        } else {
            place = actions.count
            actions.append(action)
        }
        events.push(UInt64(place), at: max(time, now))
    }

    func schedule(_ action: WorldAction, after microseconds: UInt64) {
        schedule(action, at: now.advanced(byMicroseconds: microseconds))
    }

    /// Something came for a client.
    func wake(_ client: Int) {
        if client >= 0 { clients[client].isWoken = true }
    }

    private func handle(_ action: WorldAction) {
        switch action {
        case .opened(let connection): network.finishOpening(connection)
        case .arrival(let connection, let way, let count, let ends):
            network.arrive(connection, way, count, ends: ends)
        case .reset(let connection): network.reset(connection, byFault: false)
        case .client(let index): clients[index].resume()
        case .request(let index): clients[index].requestCame()
        case .sample: log.takeSample()
        case .beginFault(let index): faults.begin(index)
        case .endFault(let index): faults.end(index)
        case .faultTurn(let index): faults.turn(index)
        case .startServer: faults.startServer()
        case .cutRecovery(let index): faults.cutRecovery(index)
        case .remote(let happen): happen()
        }
    }

    /// Runs until `isDone`; fails when that takes longer than `limitMicroseconds`, when the
    /// machines spin, or when nothing is left that could happen.
    func run(
        _ goal: String, limitMicroseconds: UInt64, orElse assertion: Assertion,
        until isDone: () -> Bool
    ) throws(Violation) {
        let end = now.advanced(byMicroseconds: limitMicroseconds)
        while !isDone() {
            if let violation = judge.violation { throw violation }
            if turn() {
                turnsAtOneTime += 1
                if turnsAtOneTime > 500_000 {
                    throw Violation(.worldSpins, "\(goal): no end at one instant")
                }
                continue
            }
            turnsAtOneTime = 0
            let next = nextInstant
            guard next != .never, next <= end else {
                throw Violation(
                    assertion, "\(goal): not within \(limitMicroseconds) us; \(server.standing)")
            }
            sim.advance(to: next)
            server.advanceDevices()
        }
        if let violation = judge.violation { throw violation }
    }

    /// Lets everybody do what can be done now; false when nobody did anything.
    private func turn() -> Bool {
        var moved = false
        while let number = events.popDue(at: now) {
            let place = Int(number)
            freeActions.append(place)
            if let action = actions[place].take() { handle(action) }
            moved = true
        }
        if server.step() { moved = true }
        for client in clients where client.wantsStep(now: now) {
            client.step()
            moved = true
        }
        return moved
    }

    private var nextInstant: Instant {
        var next = min(events.nextTime ?? .never, server.nextInstant)
        for client in clients { next = min(next, client.nextWake) }
        return next == .never ? next : max(next, Instant(nanoseconds: now.nanoseconds + 1))
    }
}
