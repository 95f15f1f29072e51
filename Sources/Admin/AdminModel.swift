// AdminModel: what the admin endpoint answers, computed from the shards' cells and nothing else.
//
// Always holds: it reads and never writes; every number is one that was recorded where it happened,
// or a sum of such numbers; names and shapes are those of the monitoring contract. No HTTP here.

package import Engine

/// One answer, apart from how it travels.
package struct AdminAnswer: Hashable, Sendable {
    /// What the body is written in.
    package enum Format: Hashable, Sendable { case json, text, exposition }

    /// An HTTP status: 200, or 503 when a prober should act.
    package let statusCode: Int
    package let format: Format
    package let body: String
}

/// The server as the admin endpoint sees it.
package struct AdminModel: Sendable {
    /// One shard: its cells, and the names and numbers of its drives in the cells' order.
    package struct Shard: Sendable {
        let cells: ShardCells
        let drivePaths: [String]
        let driveNumbers: [DriveNumber]

        /// Without `driveNumbers`, the only shard.
        package init(
            cells: ShardCells, drivePaths: [String], driveNumbers: [DriveNumber]? = nil
        ) {
            precondition(cells.drives.count == drivePaths.count, "a drive without a name")
            self.cells = cells
            self.drivePaths = drivePaths
            self.driveNumbers =
                driveNumbers ?? drivePaths.indices.map { DriveNumber(UInt16($0)) }
        }
    }

    /// What others than the engine know: asked anew for each answer that tells it.
    package struct Surroundings: Sendable {
        let version: String
        let transports: @Sendable () -> [TransportReading]
        let rdma: @Sendable () -> RDMAReading?
        let process: @Sendable () -> ProcessReading

        package init(
            version: String, transports: @escaping @Sendable () -> [TransportReading],
            rdma: @escaping @Sendable () -> RDMAReading? = { nil },
            process: @escaping @Sendable () -> ProcessReading
        ) {
            self.version = version
            self.transports = transports
            self.rdma = rdma
            self.process = process
        }
    }

    private let shards: [Shard]
    private let slabs: SlabPool
    private let blockSizeBytes: UInt32
    private let started: ContinuousClock.Instant
    private let surroundings: Surroundings
    let traffic = AdminTraffic()

    /// `started` is when the process began; `slabs` is the pool that all shards share.
    package init(
        shards: [Shard], slabs: SlabPool, blockSizeBytes: UInt32,
        started: ContinuousClock.Instant, surroundings: Surroundings
    ) {
        self.shards = shards
        self.slabs = slabs
        self.blockSizeBytes = blockSizeBytes
        self.started = started
        self.surroundings = surroundings
    }

    /// The server now; `now` is the present on the clock of `started`.
    func reading(now: ContinuousClock.Instant) -> ServerReading {
        ServerReading(
            shards: shards.map { $0.cells.reading() }, drives: drives,
            slabs: SlabReading(slabs), transports: surroundings.transports(),
            rdma: surroundings.rdma(), process: surroundings.process(),
            requests: traffic.requests,
            blockSizeBytes: blockSizeBytes,
            uptimeSeconds: UInt64(max(0, started.duration(to: now).components.seconds)),
            version: surroundings.version)
    }

    private var drives: [DriveEntry] {
        shards.flatMap { shard in
            shard.drivePaths.indices.map { index in
                (
                    number: shard.driveNumbers[index],
                    drive: DriveEntry(
                        path: shard.drivePaths[index], cells: shard.cells.drives[index].reading())
                )
            }
        }
        .sorted { $0.number < $1.number }
        .map(\.drive)
    }

    // MARK: Answers

    /// One word, and how many drives serve. A degraded drive is online; one that recovers is
    /// neither online nor missing.
    package func health() -> AdminAnswer {
        let reading = reading(now: started)
        let conditions = reading.drives.map(\.condition)
        let body = JSONText.object([
            ("status", .text(reading.health.rawValue)),
            ("rdma_active", .flag(reading.isRDMAActive)),
            ("drives_online", .number(UInt64(conditions.count { $0.state == .online }))),
            ("drives_offline", .number(UInt64(conditions.count(where: \.isMissing)))),
            ("drives_total", .number(UInt64(conditions.count))),
        ])
        return AdminAnswer(
            statusCode: reading.health.statusCode, format: .json, body: body.rendered)
    }

    /// `ok` when every shard serves; otherwise 503 and a line that says what the server is doing.
    package func ready() -> AdminAnswer {
        let reason = reading(now: started).unreadiness
        return AdminAnswer(
            statusCode: reason == nil ? 200 : 503, format: .text, body: reason ?? "ok")
    }

    /// Memory, storage and drives. `now` is the present on the clock of `started`.
    package func status(now: ContinuousClock.Instant) -> AdminAnswer {
        AdminAnswer(
            statusCode: 200, format: .json, body: StatusText.of(reading(now: now)).rendered)
    }

    /// Every metric. `now` is the present on the clock of `started`.
    package func metrics(now: ContinuousClock.Instant) -> AdminAnswer {
        AdminAnswer(
            statusCode: 200, format: .exposition, body: Exposition.text(of: reading(now: now)))
    }
}
