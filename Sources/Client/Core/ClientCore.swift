// ClientCore: the client as a synchronous machine over its port: placement, pool, retries and
// deadlines. A driver calls `step` when something may have happened, the simulator included.
//
//   submit --by server--> parts waiting --room--> under way --answer--> ended
//                            ^   |                    |
//                            |   +--deadline, server down--> ended
//                            +--------retry-----------+
//
// Always holds: each request ends exactly once, each of its items with a status of its own, not
// later than the first step after its deadline; until then, and not after, its memory is used. What
// is told of a change is true: ok, not done, or unknown. A server that is down costs the requests
// for its own keys and nothing else. What it does follows from its inputs, their times and the
// seed. Refuses: more requests than the table has places, values of no bytes, batches of no items.

package import Wire

package struct ClientCore<Transport: ClientTransport> {
    package let configuration: ClientConfiguration
    package let placement: Placement
    var transport: Transport
    var servers: [PooledServer<Transport>]
    var table: RequestTable
    var ready: ArraySlice<RequestOutcome> = []
    var generator: SeededGenerator
    private var isClosed = false

    package init(_ configuration: ClientConfiguration, transport: Transport) {
        precondition(
            ClientConfiguration.firstRepeated(in: configuration.servers) == nil,
            "a server is named twice")
        self.configuration = configuration
        self.transport = transport
        placement = Placement(over: configuration.servers)
        let ways = configuration.transport.ways
        servers = configuration.servers.map { PooledServer($0, ways: ways) }
        table = RequestTable(capacity: configuration.requestCapacity)
        generator = SeededGenerator(seed: configuration.seed)
    }

    // MARK: What is known

    /// Requests whose outcome hasn't been taken.
    package var unansweredCount: Int { table.count + ready.count }

    /// What a server told when it was last connected to; nil before.
    package func limits(of server: ServerNumber) -> ConnectResponse? {
        servers[server.rawValue].limits
    }

    /// Why a server couldn't be used last; nil when it answered last, or nobody asked.
    package func problem(of server: ServerNumber) -> ConnectError? {
        servers[server.rawValue].problem
    }

    /// Whether requests to `server` travel by a queue pair at present.
    package func isRemote(_ server: ServerNumber) -> Bool {
        servers[server.rawValue].ways.contains { $0.way == .queuePair && $0.hasReady }
    }

    package func isDown(_ server: ServerNumber) -> Bool { servers[server.rawValue].isDown }

    // MARK: Requests

    /// Takes `request`; `nextOutcome` gives its end under the tag returned. `checksums` are the
    /// XXH3-64 of its values.
    package mutating func submit(
        _ request: ClientRequest, checksums: [UInt64], deadline: MonotonicTime,
        policy: RequestPolicy, now: MonotonicTime
    ) throws(SubmitError) -> RequestTag {
        guard !isClosed else { throw .clientClosed }
        guard !table.isFull else {
            throw .tooManyRequests(limit: configuration.requestCapacity)
        }
        guard request.itemCount > 0 else { throw .emptyBatch }
        let values = request.values
        guard values.allSatisfy({ $0.count > 0 }) else { throw .emptyValue }
        precondition(checksums.count == values.count, "a checksum for each value")
        let (slot, tag) = table.add(
            request, checksums: checksums, deadline: deadline, policy: policy)
        for (server, items) in itemsByServer(request) {
            place(Part(slot: slot, items: items), on: server, now: now)
        }
        return tag
    }

    private func itemsByServer(
        _ request: ClientRequest
    ) -> [(server: Int, items: ArraySlice<Int>)] {
        let count = request.itemCount
        if servers.count == 1 { return [(0, Array(0..<count)[...])] }
        var lists = [[Int]](repeating: [], count: servers.count)
        for item in 0..<count {
            lists[placement.server(for: request.key(at: item)).rawValue].append(item)
        }
        return lists.indices.filter { !lists[$0].isEmpty }.map { ($0, lists[$0][...]) }
    }

    /// Wants the limits of `server`; `step` connects to it.
    package mutating func greet(_ server: ServerNumber) {
        servers[server.rawValue].isGreeted = true
    }

    /// The next request that has ended, in whatever order they end.
    package mutating func nextOutcome() -> RequestOutcome? { ready.popFirst() }

    /// Gives up every connection; what is under way ends as it stands, and nothing is taken after.
    package mutating func close() {
        isClosed = true
        for number in servers.indices {
            let server = servers[number]
            for index in server.ways.indices {
                for connection in server.ways[index].connections {
                    for (part, outcome) in connection.lose(.closedByClient) {
                        endAll(of: part, as: outcome)
                    }
                }
                server.ways[index].connections = []
            }
            for part in server.remove(where: { _ in true }, deadlineOf: { _ in .never }) {
                end(part, with: RetryRules.ending(.serverUnavailable, of: part))
            }
        }
    }

    private mutating func endAll(of part: Part, as outcome: RequestOutcome) {
        for (position, item) in part.items.enumerated() {
            let ended = outcome.item(at: position)
            let status =
                ended.status == .connectionLost ? OutcomeStatus.serverUnavailable : ended.status
            end(item, of: part, with: ItemOutcome(status: RetryRules.ending(status, of: part)))
        }
    }

    // MARK: Time

    /// When `step` must be called though nothing arrives.
    package var nextWake: MonotonicTime {
        if isClosed { return .never }
        let limits = configuration.transport.ways.map { configuration.connectionLimit(of: $0) }
        return servers.map {
            $0.nextWake(
                limits: limits, silenceMicroseconds: configuration.silenceMicroseconds)
        }.min() ?? .never
    }

    /// Does everything that can be done now; true when anything was.
    package mutating func step(now: MonotonicTime) -> Bool {
        guard !isClosed else { return false }
        var moved = false
        for number in servers.indices {
            for way in servers[number].ways.indices {
                moved = advanceConnections(of: number, by: way, now: now) || moved
            }
            moved = expireWaiting(of: number, now: now) || moved
            moved = servers[number].endPauses(now: now) || moved
            moved = sendWaiting(of: number, now: now) || moved
            for way in servers[number].ways.indices {
                moved = connect(to: number, by: way, now: now) || moved
            }
        }
        return moved
    }
}
