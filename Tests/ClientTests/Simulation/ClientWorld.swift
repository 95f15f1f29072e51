// ClientWorld: the real client's core in a simulated network, under a random workload, judged by
// what the servers wrote down.

import Testing
import Wire

@testable import Client

/// A request that was submitted, and what became of it.
struct Submitted {
    let request: ClientRequest
    let policy: RequestPolicy
    let submittedAt: UInt64
    let deadline: MonotonicTime
    /// The values that it puts, item by item.
    let values: [[UInt8]]
    /// Where its gets go.
    let memories: [OwnedBytes]
    var outcome: RequestOutcome?
    var endedAt: UInt64 = 0
    /// What its memories held when it ended.
    var fetched: [[UInt8]] = []
}

final class ClientWorld {
    static let servers = [
        ServerAddress(host: "a", port: 1), ServerAddress(host: "b", port: 2),
        ServerAddress(host: "c", port: 3),
    ]
    static let memoryBytes = 70_000

    let network: SimulatedNetwork
    var core: ClientCore<SimulatedTransport>
    var requests: [RequestTag: Submitted] = [:]
    var order: [RequestTag] = []
    var generator: SeededGenerator
    var problems: [String] = []
    private var nameCount = 0

    init(
        seed: UInt64, faults: Faults = Faults(), behaviour: Behaviour = Behaviour(),
        connections: Int = 2, change: (inout ClientConfiguration) -> Void = { _ in }
    ) {
        network = SimulatedNetwork(
            Self.servers, behaviour: behaviour, faults: faults, seed: seed &* 2 &+ 1)
        var configuration = ClientConfiguration(servers: Self.servers, seed: seed)
        configuration.connectionsPerServer = connections
        configuration.connectMicroseconds = 100_000
        configuration.silenceMicroseconds = 50_000
        configuration.reconnecting = Backoff(firstMicroseconds: 1000, capMicroseconds: 50_000)
        configuration.refused = Backoff(firstMicroseconds: 500, capMicroseconds: 10_000)
        change(&configuration)
        core = ClientCore(configuration, transport: SimulatedTransport(network: network))
        generator = SeededGenerator(seed: seed &* 2)
    }

    func server(of key: BlockKey) -> SimulatedServer {
        network.states[core.placement.server(for: key).rawValue]
    }

    func newKey() -> BlockKey {
        nameCount += 1
        return key("key \(nameCount)")
    }

    /// A key that lies on server `number`.
    func newKey(on number: Int) -> BlockKey {
        while true {
            let key = newKey()
            if core.placement.server(for: key).rawValue == number { return key }
        }
    }

    // MARK: Running

    @discardableResult
    func submit(
        _ request: ClientRequest, within microseconds: UInt64,
        policy: RequestPolicy = RequestPolicy(), values: [[UInt8]] = [],
        memories: [OwnedBytes] = []
    ) -> RequestTag? {
        let deadline = network.time.advanced(byMicroseconds: microseconds)
        do {
            let tag = try core.submit(
                request, checksums: request.values.map(\.xxh3), deadline: deadline,
                policy: policy, now: network.time)
            requests[tag] = Submitted(
                request: request, policy: policy, submittedAt: network.now, deadline: deadline,
                values: values, memories: memories)
            order.append(tag)
            return tag
        } catch {
            problems.append("not taken: \(error)")
            return nil
        }
    }

    /// Runs until `isDone`, or nothing more can happen.
    func run(until isDone: () -> Bool) {
        var stepsAtOneTime = 0
        while true {
            let before = network.now
            network.advance(to: network.time)
            let moved = core.step(now: network.time)
            while let outcome = core.nextOutcome() { take(outcome) }
            if isDone() { return }
            if !moved {
                let next = min(core.nextWake, network.nextEventAt)
                if next == .never {
                    problems.append("nothing can happen any more, and something is missing")
                    return
                }
                network.advance(to: next)
            }
            stepsAtOneTime = network.now == before ? stepsAtOneTime + 1 : 0
            if stepsAtOneTime > 20_000 {
                problems.append("the client spins at \(network.now)")
                return
            }
        }
    }

    /// Runs until every request has ended.
    func finish() { run { self.core.unansweredCount == 0 } }

    func run(microseconds: UInt64) {
        var isOver = false
        network.at(network.now + microseconds * 1000) { isOver = true }
        run { isOver }
    }

    private func take(_ outcome: RequestOutcome) {
        guard var submitted = requests[outcome.tag] else {
            return problems.append("an outcome of nobody's request")
        }
        if submitted.outcome != nil { problems.append("\(outcome.tag) ended twice") }
        if network.now > submitted.deadline.nanoseconds {
            problems.append(
                "\(outcome.tag) ended \(network.now - submitted.deadline.nanoseconds) ns late")
        }
        submitted.outcome = outcome
        submitted.endedAt = network.now
        submitted.fetched = submitted.memories.map { $0.copy(count: $0.count) }
        requests[outcome.tag] = submitted
    }

    /// Items of all requests that ended with `status`.
    func count(of status: OutcomeStatus) -> Int {
        order.compactMap { requests[$0] }.map { submitted in
            (0..<(submitted.request.batchCount ?? 1)).count {
                submitted.outcome?.item(at: $0).status == status
            }
        }.reduce(0, +)
    }

    // MARK: Judging

    /// Everything that must hold when all requests have ended and nothing is on its way.
    func judge() -> [String] {
        problems += network.problems
        for tag in order {
            guard let submitted = requests[tag], let outcome = submitted.outcome else {
                problems.append("\(tag) never ended")
                continue
            }
            let count = submitted.request.batchCount
            if outcome.items.count != count ?? 0 { problems.append("\(tag): items are missing") }
            for item in 0..<(count ?? 1) {
                judge(item, of: submitted, outcome.item(at: item))
            }
            for (memory, held) in zip(submitted.memories, submitted.fetched)
            where memory.copy(count: memory.count) != held {
                problems.append("\(tag): its memory was written after its end")
            }
        }
        return problems
    }

    private func judge(_ item: Int, of submitted: Submitted, _ ended: ItemOutcome) {
        let key = submitted.request.keys[item]
        let applied = server(of: key).applied[key] ?? [:]
        for other in network.states where other !== server(of: key) && other.applied[key] != nil {
            problems.append("\(key) was changed on a server that isn't its own")
        }
        switch submitted.request {
        case .put, .putBatch:
            judgeChange(
                key, ended.status, times: applied[submitted.values[item]] ?? 0,
                mayRepeat: submitted.policy.putsMayBeRepeated)
        case .delete, .deleteBatch:
            judgeChange(key, ended.status, times: applied[[]] ?? 0, mayRepeat: false)
        case .get, .getBatch:
            guard ended.status == .ok else { break }
            let bytes = Array(submitted.fetched[item].prefix(Int(ended.valueBytes)))
            if applied[bytes] == nil { problems.append("\(key): a value that nobody put there") }
        case .exists, .stat: break
        }
        if ended.status == .connectionLost { problems.append("\(key): connectionLost isn't final") }
    }

    private func judgeChange(
        _ key: BlockKey, _ status: OutcomeStatus, times: Int, mayRepeat: Bool
    ) {
        switch status {
        case .ok where times == 0: problems.append("\(key): ok, and never carried out")
        case .ok, .ended(.outcomeUnknown): break
        default:
            if times > 0 { problems.append("\(key): \(status), and was carried out") }
        }
        if times > 1, !mayRepeat { problems.append("\(key): carried out \(times) times") }
    }
}
