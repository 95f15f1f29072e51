// AdminModel: what the admin endpoint answers, computed from the shards' cells and nothing else.
//
// Always holds: it reads and never writes; every number is one that a shard recorded or a sum of
// such numbers; names and shapes are those of the monitoring contract. No HTTP here.

package import Engine

/// One answer, apart from how it travels.
package struct AdminAnswer: Hashable, Sendable {
    /// An HTTP status: 200, or 503 when a prober should act.
    package let statusCode: Int
    /// True for JSON, false for plain text.
    package let isJSON: Bool
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

    private let shards: [Shard]
    private let slabs: SlabPool
    private let blockSizeBytes: UInt32
    private let started: ContinuousClock.Instant

    /// `started` is when the process began; `slabs` is the pool that all shards share.
    package init(
        shards: [Shard], slabs: SlabPool, blockSizeBytes: UInt32,
        started: ContinuousClock.Instant
    ) {
        self.shards = shards
        self.slabs = slabs
        self.blockSizeBytes = blockSizeBytes
        self.started = started
    }

    // MARK: /v1/health

    /// One word, and how many drives serve. A degraded drive is online; one that recovers is
    /// neither online nor missing.
    package func health() -> AdminAnswer {
        let conditions = drives.map(\.cells.condition)
        let health = ServerHealth(drives: conditions)
        let body = JSONText.object([
            ("status", .text(health.rawValue)),
            ("rdma_active", .flag(false)),
            ("drives_online", .number(UInt64(conditions.count { $0.state == .online }))),
            ("drives_offline", .number(UInt64(conditions.count(where: \.isMissing)))),
            ("drives_total", .number(UInt64(conditions.count))),
        ])
        return AdminAnswer(statusCode: health.statusCode, isJSON: true, body: body.rendered)
    }

    // MARK: /v1/ready

    /// `ok` when every shard serves; otherwise 503 and a line that says what the server is doing.
    package func ready() -> AdminAnswer {
        let reasons = shards.compactMap { reason(phase(of: $0)) }
        return AdminAnswer(
            statusCode: reasons.isEmpty ? 200 : 503, isJSON: false, body: reasons.first ?? "ok")
    }

    private func phase(of shard: Shard) -> EnginePhase {
        let value = UInt8(truncatingIfNeeded: shard.cells.value(ShardGauge.phase))
        guard let phase = EnginePhase(rawValue: value) else {
            preconditionFailure("a shard in no known phase")
        }
        return phase
    }

    private func reason(_ phase: EnginePhase) -> String? {
        switch phase {
        case .serving: nil
        case .recovering: "recovering: reading the drives' journals"
        case .draining: "draining: finishing what is in flight"
        case .stopped: "stopped"
        case .refused: "refused: a drive can't be served; the log names it"
        }
    }

    // MARK: /v1/status

    /// Memory, storage and drives. `now` is the present on the clock of `started`.
    package func status(now: ContinuousClock.Instant) -> AdminAnswer {
        let total = UInt64(slabs.slabCount)
        let allocated = total - UInt64(min(max(0, slabs.freeSlabs), Int(total)))
        let slabBytes = slabs.slabBytes.rawValue
        let blocks = sum { $0.value(ShardGauge.blocks) }
        let body = JSONText.object([
            (
                "memory",
                .object([
                    ("used_bytes", .number(allocated * slabBytes)),
                    ("total_bytes", .number(total * slabBytes)),
                    ("slabs_allocated", .number(allocated)),
                    ("slabs_total", .number(total)),
                ])
            ),
            ("storage", storage(blocks: blocks)),
            ("rdma", .object([("active_connections", .number(0))])),
            ("blocks_total", .number(blocks)),
            ("blocks_persisted", .number(sum { $0.value(ShardGauge.blocksPersisted) })),
            (
                "uptime_seconds",
                .number(UInt64(max(0, started.duration(to: now).components.seconds)))
            ),
        ])
        return AdminAnswer(statusCode: 200, isJSON: true, body: body.rendered)
    }

    private func storage(blocks: UInt64) -> JSONText {
        let devices = drives.enumerated().map { index, drive in
            let condition = drive.cells.condition
            return JSONText.object([
                ("device_id", .number(UInt64(index))),
                ("path", .text(drive.path)),
                ("total_slots", .number(drive.cells.value(.slotsTotal))),
                ("allocated_slots", .number(drive.cells.value(.slotsAllocated))),
                ("raw_capacity_bytes", .number(drive.cells.value(.rawBytes))),
                ("usable_bytes", .number(drive.cells.value(.usableBytes))),
                ("metadata_bytes", .number(drive.cells.value(.metadataBytes))),
                ("used_bytes", .number(drive.cells.value(.usedBytes))),
                // Beyond the contract.
                ("state", .text(condition.word)),
                ("causes", .list(condition.causes.map(JSONText.text))),
                ("media_errors", .number(drive.cells.value(.mediaErrors))),
                ("quarantined_bytes", .number(drive.cells.value(.quarantinedBytes))),
                ("requests_in_hand", .number(drive.cells.value(.operationsInHand))),
                ("requests_shed", .number(Self.shed(drive.cells))),
                ("superblock_repairs", .number(drive.cells.value(.superblockRepairs))),
                ("scrub", Self.scrub(drive.cells)),
            ])
        }
        func total(_ gauge: DriveGauge) -> JSONText {
            .number(drives.reduce(0) { $0 + $1.cells.value(gauge) })
        }
        return .object([
            ("num_devices", .number(UInt64(devices.count))),
            ("block_size_bytes", .number(UInt64(blockSizeBytes))),
            ("total_blocks", .number(blocks)),
            ("raw_bytes_total", total(.rawBytes)),
            ("usable_bytes_total", total(.usableBytes)),
            ("used_bytes_total", total(.usedBytes)),
            ("devices", .list(devices)),
        ])
    }

    private static func scrub(_ cells: DriveCells) -> JSONText {
        .object([
            ("turns", .number(cells.value(.scrubTurns))),
            ("progress_permille", .number(cells.value(.scrubPermille))),
            ("bytes", .number(cells.value(.scrubbedBytes))),
            ("findings", .number(cells.value(.scrubFindings))),
        ])
    }

    private static func shed(_ cells: DriveCells) -> UInt64 {
        cells.value(.shedStalled) + cells.value(.shedUnresponsive) + cells.value(.shedOverShare)
    }

    private func sum(_ value: (ShardCells) -> UInt64) -> UInt64 {
        shards.reduce(0) { $0 + value($1.cells) }
    }

    /// Every shard's drives, in the order of the configuration: a drive's place is its device id.
    private var drives: [(path: String, cells: DriveCells)] {
        shards.flatMap { shard in
            shard.drivePaths.indices.map { index in
                (
                    number: shard.driveNumbers[index], path: shard.drivePaths[index],
                    cells: shard.cells.drives[index]
                )
            }
        }
        .sorted { $0.number < $1.number }
        .map { (path: $0.path, cells: $0.cells) }
    }
}
