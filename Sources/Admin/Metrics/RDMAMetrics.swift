// RDMAMetrics: the RDMA transport's, from cells like all others; 0 where there is none.

internal import Engine

enum RDMAMetrics {
    static let families: [MetricFamily] = [
        .gauge("memkv_rdma_active", "1 while clients can come by RDMA.") {
            $0.isRDMAActive ? 1 : 0
        },
        .gauge("memkv_rdma_connections_active", "RDMA connections.") { $0.sum(.rdmaConnections) },
        .histogram(
            "memkv_rdma_read_latency_us", "RDMA reads, post to completion, in microseconds.",
            .waits, .rdmaRead),
        .histogram(
            "memkv_rdma_write_latency_us", "RDMA writes, post to completion, in microseconds.",
            .waits, .rdmaWrite),
        .counter("memkv_rdma_errors_total", "Failed posts and completions.") {
            $0.sum(.rdmaErrors)
        },
    ]
}
