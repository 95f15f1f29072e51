// ClientConfiguration: what a client is told at its start. Each bound is the size of a table or of
// a wait.

package import Wire

/// What requests travel by.
package enum TransportChoice: String, CaseIterable, Sendable {
    /// Queue pairs where there are any, TCP meanwhile.
    case auto
    /// Queue pairs, or an error that says what is missing.
    case rdma
    case tcp

    /// The preferred first.
    var ways: [Way] {
        switch self {
        case .auto: [.queuePair, .stream]
        case .rdma: [.queuePair]
        case .tcp: [.stream]
        }
    }
}

/// Servers, sizes and times of a client.
package struct ClientConfiguration: Sendable {
    /// One or more, none twice.
    package var servers: [ServerAddress]
    /// The key that all servers have; nil for servers that ask for none.
    package var key: AuthenticationKey?
    /// Connections to each server at most; made as they are needed.
    package var connectionsPerServer = 1
    /// What requests travel by.
    package var transport = TransportChoice.tcp
    /// The RDMA devices to use, by name; any, when none is named.
    package var remoteDevices: [String] = []
    /// Requests under way at once; one more is refused.
    package var requestCapacity = 1024
    /// From the beginning of a connection to Connect's answer.
    package var connectMicroseconds: UInt64 = 5_000_000
    /// A server that answered nothing for this long, and a request not before its deadline, is
    /// taken for dead.
    package var silenceMicroseconds: UInt64 = 1_000_000
    /// Between attempts to reach a server that is down.
    package var reconnecting = Backoff(firstMicroseconds: 20_000, capMicroseconds: 2_000_000)
    /// Between attempts to make a queue pair, while requests travel by TCP.
    package var rejoining = Backoff(firstMicroseconds: 100_000, capMicroseconds: 5_000_000)
    /// Before a request that was refused as `busy` or `shuttingDown` is sent again.
    package var refused = Backoff(firstMicroseconds: 5_000, capMicroseconds: 500_000)
    #if PLANTED_BUGS
    package var plantedBug: PlantedClientBug?
    #endif
    /// Of the pauses' jitter: clients of one server should differ.
    package var seed: UInt64

    package init(servers: [ServerAddress], seed: UInt64) {
        self.servers = servers
        self.seed = seed
    }

    /// Most connections of one kind to each server; with devices named, one for each of them at
    /// least.
    func connectionLimit(of way: Way) -> Int {
        way == .queuePair ? max(connectionsPerServer, remoteDevices.count) : connectionsPerServer
    }

    /// The first server that stands in `servers` twice, by its name in placement; nil when none
    /// does.
    package static func firstRepeated(in servers: [ServerAddress]) -> ServerAddress? {
        var names: Set<String> = []
        return servers.first { !names.insert($0.placementName).inserted }
    }
}

/// How far a request goes for its answer. Docs/client.md has the rules as tables.
package struct RequestPolicy: Hashable, Sendable {
    /// What a key gets whose server is down.
    package enum DownServer: Hashable, Sendable {
        /// `serverUnavailable` while the server isn't reached: for whom a miss is cheaper than a
        /// wait.
        case answerAtOnce
        /// The request is kept for the server's return, until its deadline.
        case waitUntilDeadline
    }

    package var downServer: DownServer
    /// A put whose outcome is unknown is sent again. Only right where nobody ever stores another
    /// value under the same key: blocks that are named by their content.
    package var putsMayBeRepeated: Bool

    package init(downServer: DownServer = .answerAtOnce, putsMayBeRepeated: Bool = false) {
        self.downServer = downServer
        self.putsMayBeRepeated = putsMayBeRepeated
    }
}
