// DaemonRemote: the daemon's RDMA, where it is built in and configured; otherwise a place that
// holds nothing.
//
// Always holds: without usable devices the daemon serves over TCP, and says what is wrong. What was
// made in the kernel for it is removed when the daemon has stopped.

#if IOUring

internal import Admin
internal import Engine
internal import IOUring
internal import Settings
#if Verbs
internal import QueuePairs
internal import RDMA
internal import SoftRoCE
internal import Verbs
#endif

/// What there is to tell of RDMA when it changes.
struct RemoteReport: Sendable {
    var problems: [String]
    var devices: [String] = []
    var news: [String] = []
}

/// What all shards share for RDMA.
struct DaemonRemote: Sendable {
    #if Verbs
    private let service: RDMAService?

    /// Bytes of the arena that each shard needs for it.
    static func memoryBytes(_ settings: ServerSettings) -> ByteCount {
        configuration(settings)?.memoryBytes ?? .zero
    }

    private static func configuration(_ settings: ServerSettings) -> RDMAConfiguration? {
        guard let rdma = settings.rdma else { return nil }
        var configuration = RDMAConfiguration(limits: settings.limits)
        configuration.queuePairs = rdma.queuePairs
        configuration.leasesPerSession = rdma.leasesPerSession
        configuration.leaseMicroseconds = rdma.leaseMicroseconds
        return configuration
    }

    /// Opens the devices and registers the memory. `ranges` are each shard's.
    init(
        _ settings: ServerSettings, slabs: SlabPool, ranges: [ArenaRange], control: DaemonControl
    ) {
        guard let rdma = settings.rdma, let configuration = Self.configuration(settings) else {
            service = nil
            return
        }
        let network = RDMAAddress(v4: settings.listen.octets)
        service = RDMAService(
            devices: rdma.devices.map { Self.source($0, network) }, network: network,
            port: settings.listen.port, configuration: configuration, slabs: slabs,
            ranges: ranges, wakeShard: { control.wake($0) })
    }

    private static func source(
        _ choice: RDMADeviceChoice, _ network: RDMAAddress
    ) -> any DeviceSource {
        switch choice {
        case .named(let name): NamedDevice(name)
        case .interface(let name): InterfaceDevice(name)
        case .softRoCE(let name): SoftRoCELink(interface: name)
        case .automatic: AnyDevice(preferred: network)
        }
    }

    /// Starts the control thread. `report` is told how RDMA is whenever that changes.
    func start(_ report: @escaping @Sendable (RemoteReport) -> Void) {
        guard let service else { return }
        Threads.start(named: "rdma") {
            RDMAControl.run(service) {
                report(
                    RemoteReport(problems: $0.problems, devices: $0.devices, news: $0.news))
            }
        }
    }

    private static let longestStop = Duration.seconds(10)

    /// Ends the use of all devices, after all shards have ended.
    func stop() async {
        guard let service else { return }
        service.stop()
        let end = ContinuousClock.now.advanced(by: Self.longestStop)
        while !service.isStopped, ContinuousClock.now < end {
            try? await Task.sleep(for: .milliseconds(5))
        }
    }

    /// A shard's transport over `tcp`, and the watch that the shard must keep.
    func transport(
        over tcp: TCPTransport, of shard: Int, on ring: ShardRing, slabs: SlabPool,
        cells: ShardCells
    ) -> (transport: ShardTransport, watch: DescriptorWatch?) {
        guard let service else { return (ShardTransport(tcp: tcp), nil) }
        let (queuePairs, descriptors) = ShardQueuePairs.transport(
            of: service, shard: shard, slabs: slabs, cells: cells)
        let remote = RemoteTransport(queuePairs, descriptors: descriptors, beside: tcp)
        return (ShardTransport(tcp: tcp, remote: remote), DescriptorWatch(remote, on: ring))
    }

    /// Nil where no RDMA is configured.
    var reading: RDMAReading? {
        guard let service else { return nil }
        let condition = service.condition
        return RDMAReading(
            isActive: condition.isActive, problems: condition.problems.map(\.description),
            activeLeases: service.activeLeases)
    }

    /// The queue pairs' figures; `connections` are those that are open.
    func transportReading(connections: UInt64) -> TransportReading? {
        guard let service else { return nil }
        return TransportReading(
            name: "rdma", connectRequests: service.count(.openRequests),
            sessionsActive: connections, sessions: service.count(.acceptedQueuePairs),
            receivedBytes: service.count(.bytesReceived), sentBytes: service.count(.bytesSent),
            malformedRequests: service.count(.malformedMessages) + service.count(.invalidRequests),
            lookupRequests: service.count(.lookupRequests),
            authenticationFailures: service.count(.forgedGreetings)
                + service.count(.forgedMessages),
            refusals: RDMACounter.allCases.filter(\.isRefusal).map {
                ("\($0)".withUnderscores, service.count($0))
            })
    }
    #else
    static func memoryBytes(_ settings: ServerSettings) -> ByteCount { .zero }

    init(
        _ settings: ServerSettings, slabs: SlabPool, ranges: [ArenaRange], control: DaemonControl
    ) {
        isWanted = settings.rdma != nil
    }

    private let isWanted: Bool
    private static let problem =
        "this memkvd was built without RDMA (the package trait Verbs); rdma does nothing"

    func start(_ report: @escaping @Sendable (RemoteReport) -> Void) {
        if isWanted { report(RemoteReport(problems: [Self.problem])) }
    }

    func stop() async {}

    func transport(
        over tcp: TCPTransport, of shard: Int, on ring: ShardRing, slabs: SlabPool,
        cells: ShardCells
    ) -> (transport: ShardTransport, watch: DescriptorWatch?) { (ShardTransport(tcp: tcp), nil) }

    var reading: RDMAReading? {
        isWanted ? RDMAReading(isActive: false, problems: [Self.problem]) : nil
    }

    func transportReading(connections: UInt64) -> TransportReading? { nil }
    #endif
}

#endif
