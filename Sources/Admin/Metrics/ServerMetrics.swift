// ServerMetrics: what the health endpoint says, as metrics; which build this is; and the process,
// by the names that Prometheus's own libraries use.

enum ServerMetrics {
    static let families: [MetricFamily] = [
        .labelled(
            "memkv_health", .gauge, "1 for what the health endpoint says.", by: "status"
        ) { reading in
            [ServerHealth.healthy, .degraded, .unhealthy].map {
                ($0.rawValue, UInt64(reading.health == $0 ? 1 : 0))
            }
        },
        .gauge("memkv_ready", "1 while requests are served.") { $0.unreadiness == nil ? 1 : 0 },
        .labelled("memkv_build_info", .gauge, "1; the label says which build.", by: "version") {
            [($0.version, UInt64(1))]
        },
        real("process_cpu_seconds_total", .counter, "Processor time used.") {
            $0.processorSeconds
        },
        real("process_start_time_seconds", .gauge, "When the process began, since 1970.") {
            $0.startSeconds
        },
        .gauge("process_resident_memory_bytes", "Memory that is in use.") {
            $0.process.residentBytes
        },
        .gauge("process_virtual_memory_bytes", "Memory that is mapped.") {
            $0.process.virtualBytes
        },
        .gauge("process_open_fds", "Open descriptors.") { $0.process.openDescriptors },
        .gauge("process_max_fds", "Descriptors that may be open.") { $0.process.descriptorLimit },
        .gauge("process_threads", "Threads.") { $0.process.threads },
    ]

    private static func real(
        _ name: String, _ kind: MetricKind, _ help: String,
        _ value: @escaping @Sendable (ProcessReading) -> Double
    ) -> MetricFamily {
        MetricFamily(name: name, kind: kind, help: help) { reading in
            [MetricSample(labels: [], value: .real(value(reading.process)))]
        }
    }
}
