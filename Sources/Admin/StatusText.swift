// StatusText: the shape of /v1/status, as the monitoring contract gives it. What a drive says
// beyond the contract stands behind the contract's own fields.

internal import Engine

enum StatusText {
    static func of(_ reading: ServerReading) -> JSONText {
        .object([
            (
                "memory",
                .object([
                    ("used_bytes", .number(reading.slabs.usedBytes)),
                    ("total_bytes", .number(reading.slabs.totalBytes)),
                    ("slabs_allocated", .number(reading.slabs.allocated)),
                    ("slabs_total", .number(reading.slabs.total)),
                ])
            ),
            ("storage", storage(reading)),
            ("rdma", rdma(reading)),
            ("blocks_total", .number(reading.sum(ShardGauge.blocks))),
            ("blocks_persisted", .number(reading.sum(.blocksPersisted))),
            ("uptime_seconds", .number(reading.uptimeSeconds)),
        ])
    }

    private static func rdma(_ reading: ServerReading) -> JSONText {
        let connections = ("active_connections", JSONText.number(reading.sum(.rdmaConnections)))
        guard let rdma = reading.rdma else { return .object([connections]) }
        // Beyond the contract.
        return .object([
            connections, ("active", .flag(rdma.isActive)),
            ("active_leases", .number(rdma.activeLeases)),
            ("problems", .list(rdma.problems.map(JSONText.text))),
        ])
    }

    private static func storage(_ reading: ServerReading) -> JSONText {
        .object([
            ("num_devices", .number(UInt64(reading.drives.count))),
            ("block_size_bytes", .number(UInt64(reading.blockSizeBytes))),
            ("total_blocks", .number(reading.sum(ShardGauge.blocks))),
            ("raw_bytes_total", .number(reading.sum(.rawBytes))),
            ("usable_bytes_total", .number(reading.sum(.usableBytes))),
            ("used_bytes_total", .number(reading.sum(.usedBytes))),
            ("devices", .list(reading.drives.enumerated().map(device))),
        ])
    }

    private static func device(_ number: Int, _ drive: DriveEntry) -> JSONText {
        let cells = drive.cells
        return .object([
            ("device_id", .number(UInt64(number))),
            ("path", .text(drive.path)),
            ("total_slots", .number(cells.value(.slotsTotal))),
            ("allocated_slots", .number(cells.value(.slotsAllocated))),
            ("raw_capacity_bytes", .number(cells.value(.rawBytes))),
            ("usable_bytes", .number(cells.value(.usableBytes))),
            ("metadata_bytes", .number(cells.value(.metadataBytes))),
            ("used_bytes", .number(cells.value(.usedBytes))),
            // Beyond the contract.
            ("state", .text(drive.condition.word)),
            ("causes", .list(drive.condition.causes.map(JSONText.text))),
            ("media_errors", .number(cells.value(.mediaErrors))),
            ("quarantined_bytes", .number(cells.value(.quarantinedBytes))),
            ("requests_in_hand", .number(cells.value(.operationsInHand))),
            (
                "requests_shed",
                .number(
                    cells.value(.shedStalled) + cells.value(.shedUnresponsive)
                        + cells.value(.shedOverShare))
            ),
            ("superblock_repairs", .number(cells.value(.superblockRepairs))),
            (
                "scrub",
                .object([
                    ("turns", .number(cells.value(.scrubTurns))),
                    ("progress_permille", .number(cells.value(.scrubPermille))),
                    ("bytes", .number(cells.value(.scrubbedBytes))),
                    ("findings", .number(cells.value(.scrubFindings))),
                ])
            ),
        ])
    }
}
