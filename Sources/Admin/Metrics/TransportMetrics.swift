// TransportMetrics: sessions and their bytes by transport, who was turned away and why.

enum TransportMetrics {
    static let families: [MetricFamily] = [
        byTransport("memkv_sessions_active", .gauge, "Sessions open now.") { $0.sessionsActive },
        byTransport("memkv_sessions_total", .counter, "Sessions opened.") { $0.sessions },
        byTransport("memkv_received_bytes_total", .counter, "Bytes received from clients.") {
            $0.receivedBytes
        },
        byTransport("memkv_sent_bytes_total", .counter, "Bytes sent to clients.") { $0.sentBytes },
        byTransport(
            "memkv_authentication_failures_total", .counter,
            "Clients without a right key, and frames with a wrong tag."
        ) { $0.authenticationFailures },
        MetricFamily(
            name: "memkv_refusals_total", kind: .counter,
            help: "Clients and requests that a limit or a rule has refused or ended, by reason."
        ) { reading in
            reading.transports.flatMap { transport in
                transport.refusals.map {
                    MetricSample(
                        labels: [("transport", transport.name), ("reason", $0.reason)],
                        value: .whole($0.count))
                }
            }
        },
    ]

    private static func byTransport(
        _ name: String, _ kind: MetricKind, _ help: String,
        _ value: @escaping @Sendable (TransportReading) -> UInt64
    ) -> MetricFamily {
        .labelled(name, kind, help, by: "transport") { reading in
            reading.transports.map { ($0.name, value($0)) }
        }
    }
}
