// RequestMetrics: what clients ask for and how it ends. A request that names several keys counts as
// one for each of them, so that a batch and its parts asked for one by one look alike; only
// `memkv_requests_total` and the latencies count frames.

internal import Engine

enum RequestMetrics {
    static let families: [MetricFamily] = contract + beyond

    private static let contract: [MetricFamily] = [
        .counter(
            "memkv_allocate_total",
            "Allocate requests: puts that asked their drive for slots."
        ) { $0.sum(.slotRequests) },
        .counter(
            "memkv_lookup_total",
            "Lookup requests: where and how long a block is, without its bytes."
        ) { $0.sum(.statRequests) + $0.transports.reduce(0) { $0 + $1.lookupRequests } },
        .counter("memkv_delete_total", "Delete requests.") {
            $0.sum(.deleteRequests) + $0.sum(.batchDeleteKeys)
        },
        .counter(
            "memkv_commit_total",
            "Commit requests: puts whose Commit record went to the journal."
        ) { $0.sum(.commits) },
        .counter("memkv_read_total", "Read requests.") {
            $0.sum(.getRequests) + $0.sum(.batchGetKeys)
        },
        .counter("memkv_read_bytes_total", "Bytes of blocks read from drives for clients.") {
            $0.sum(ShardCounter.bytesRead)
        },
        .counter("memkv_write_total", "Write requests.") {
            $0.sum(.putRequests) + $0.sum(.batchPutKeys)
        },
        .counter("memkv_write_bytes_total", "Bytes of blocks that were made durable.") {
            $0.sum(ShardCounter.bytesWritten)
        },
        .counter("memkv_connect_total", "Connect requests, over any transport.") {
            $0.transports.reduce(0) { $0 + $1.connectRequests }
        },
        .counter("memkv_exists_total", "Exists requests.") { $0.sum(.existsKeys) },
        .counter("memkv_not_found_total", "Not-found answers.") { $0.sum(.notFoundResponses) },
        .counter(
            "memkv_no_space_total", "No-space answers: the store, or the file system under a drive."
        ) { $0.sum(.noSpaceResponses) },
        .counter("memkv_invalid_requests_total", "Invalid or malformed requests.") {
            $0.sum(.invalidRequests) + $0.transports.reduce(0) { $0 + $1.malformedRequests }
        },
        MetricFamily(
            name: "memkv_request_latency_us", kind: .histogram,
            help: "From a request's arrival to its answer, in microseconds."
        ) { reading in
            let all = ShardTiming.requests.reduce(HistogramSnapshot.empty) {
                $0 + reading.histogram($1)
            }
            return [MetricSample(labels: [], value: .histogram(all, .requests))]
        },
    ]

    private static let operations: [(name: String, counter: ShardCounter, timing: ShardTiming)] = [
        ("put", .putRequests, .put), ("get", .getRequests, .get),
        ("delete", .deleteRequests, .delete), ("exists", .existsRequests, .exists),
        ("stat", .statRequests, .stat), ("batch_get", .batchGetRequests, .batchGet),
        ("batch_put", .batchPutRequests, .batchPut),
        ("batch_delete", .batchDeleteRequests, .batchDelete),
    ]

    private static let beyond: [MetricFamily] = [
        .labelled(
            "memkv_requests_total", .counter, "Requests by operation, a batch as one.",
            by: "operation"
        ) { reading in operations.map { ($0.name, reading.sum($0.counter)) } },
        MetricFamily(
            name: "memkv_operation_latency_seconds", kind: .histogram,
            help: "From a request's arrival to its answer, by operation."
        ) { reading in
            operations.map {
                MetricSample(
                    labels: [("operation", $0.name)],
                    value: .histogram(
                        reading.histogram($0.timing), HistogramScale.requests.inSeconds))
            }
        },
        .counter("memkv_read_misses_total", "Reads answered not found.") { $0.sum(.readMisses) },
        .counter("memkv_deadline_responses_total", "Requests whose deadline passed.") {
            $0.sum(.deadlineResponses)
        },
        .counter(
            "memkv_early_responses_total",
            "Requests answered before their deadline because their drive doesn't answer."
        ) { $0.sum(.earlyResponses) },
        .counter(
            "memkv_rejected_payloads_total",
            "Payloads that arrived without the checksum their request gives."
        ) { $0.sum(.rejectedPayloads) },
        .counter(
            "memkv_checksum_failures_total",
            "Blocks that were read from a drive without the checksum their index entry gives."
        ) { $0.sum(.checksumFailures) },
        .gauge("memkv_operations_in_progress", "Operations in progress, the engine's own too.") {
            $0.sum(.operationsInFlight)
        },
        .labelled(
            "memkv_evictions_total", .counter, "Blocks evicted, by reason.", by: "reason"
        ) {
            [
                ("watermark", $0.sum(.evictionsForWatermark)),
                ("space", $0.sum(.evictionsForSpace)),
            ]
        },
        .counter("memkv_evicted_bytes_total", "Bytes of blocks evicted.") {
            $0.sum(.evictedBytes)
        },
    ]
}
