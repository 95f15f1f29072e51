// MemoryMetrics: blocks, the slabs they pass through, and how long the server has been there.

internal import Engine

enum MemoryMetrics {
    static let families: [MetricFamily] = [
        .gauge("memkv_blocks_total", "Blocks in the index.") { $0.sum(ShardGauge.blocks) },
        .gauge("memkv_blocks_persisted", "Blocks in the index that are durable.") {
            $0.sum(.blocksPersisted)
        },
        .labelled(
            "memkv_blocks_by_state", .gauge,
            "Blocks by state; a persisted block can be read, changed or evicted at the same time.",
            by: "state"
        ) {
            [
                ("persisted", $0.sum(.blocksPersisted)), ("changing", $0.sum(.blocksChanging)),
                ("reading", $0.sum(.blocksReading)), ("evicting", $0.sum(.blocksEvicting)),
            ]
        },
        .gauge("memkv_slabs_allocated", "Slabs that values are passing through.") {
            $0.slabs.allocated
        },
        .gauge("memkv_slabs_total", "Slabs of the pool.") { $0.slabs.total },
        .gauge("memkv_memory_used_bytes", "Bytes of the slabs in use.") { $0.slabs.usedBytes },
        .gauge("memkv_memory_total_bytes", "Bytes of all slabs.") { $0.slabs.totalBytes },
        .gauge("memkv_uptime_seconds", "Seconds since the server's process began.") {
            $0.uptimeSeconds
        },
        .labelled(
            "memkv_admin_requests_total", .counter, "Requests to the admin endpoint, by path.",
            by: "path"
        ) { reading in reading.requests.map { ($0.path.rawValue, $0.count) } },
    ]
}
