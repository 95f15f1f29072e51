// Daemon: everything around the shards: memory, listener, drives before; log and admin endpoint
// meanwhile; the exit code after.
//
// Always holds: the admin endpoint answers from the moment the drives are open until the last of
// them has ended, the drain included; the daemon ends when all shards have, never before.

#if IOUring

internal import Admin
internal import Engine
internal import Glibc
internal import IOUring
internal import Logging
internal import Ring
internal import Schema
internal import Settings
internal import Wire

/// One run of memkvd.
struct Daemon {
    let settings: ServerSettings
    /// Reads the settings again, for what can be changed while the daemon runs.
    let settingsOfNow: @Sendable () throws(ConfigurationError) -> ServerSettings
    let keys: ServerKeys
    private let store: StoreFiles
    let logger: Logger
    private let started: ContinuousClock.Instant
    private let memoryDescription: String
    private let slabs: SlabPool
    /// Each shard's memory for RDMA.
    private let remoteRanges: [ArenaRange]
    private let plans: [ShardPlan]
    private let descriptorShortage: String?
    private let adminSecurity: AdminSecurity

    /// Takes the port, finds or makes the drives, maps the memory. Nothing is served yet.
    init(
        settings: ServerSettings, logger: Logger, started: ContinuousClock.Instant,
        settingsOfNow: @escaping @Sendable () throws(ConfigurationError) -> ServerSettings
    ) throws(StartFailure) {
        self.settings = settings
        self.settingsOfNow = settingsOfNow
        keys = ServerKeys(
            settings.authentication.keys, tagsPayloads: settings.authentication.tagsPayloads)
        self.logger = logger
        self.started = started
        adminSecurity = try Self.adminSecurity(settings.admin)
        let listener = try Self.listen(settings.listen)
        store = try StoreFiles(settings)
        let descriptors = try DescriptorPlan(
            limits: settings.limits, driveCount: store.drives.count)
        descriptorShortage = descriptors.shortage
        let transport = TransportConfiguration(limits: descriptors.limits)
        let shardCount = settings.shardCount(processors: Processors.count)
        let division = DriveDivision(driveCount: store.drives.count, shardCount: shardCount)
        let memory = try DaemonMemory(
            settings: settings, transport: transport,
            driveCounts: division.shards.map(\.count))
        memoryDescription = memory.description
        slabs = memory.slabs
        remoteRanges = memory.remotes
        var engine = settings.engine
        engine.hashSeed = .random(in: 0 ... .max)
        engine.epochEntropy = .random(in: 0 ... .max)
        #if PLANTED_BUGS
        engine.plantedBug = try PlantedBugSwitch.chosen()
        if let fault = try PlantedBugSwitch.slabFault() { slabs.inject(fault) }
        #endif
        let post = ShardPost(shardCount: shardCount, driveCount: store.drives.count)
        let budget = TransportBudget(configuration: transport, slabs: slabs)
        plans = division.shards.enumerated().map { [store, engine, keys] index, drives in
            ShardPlan(
                index: index, drives: drives.map { store.drives[$0] },
                driveNames: drives.map { store.names[$0] },
                formatsDrives: store.drives[drives[0]].mode == .memory, engine: engine,
                transport: transport, budget: budget, memory: memory.engines[index],
                transportRange: memory.transports[index], formatRange: memory.formatRange,
                listener: listener, keys: keys, cells: ShardCells(driveCount: drives.count),
                counters: TransportCounters(),
                place: ShardPlace(
                    shard: ShardIndex(UInt8(index)), post: post,
                    driveNumbers: drives.map { DriveNumber(UInt16($0)) }))
        }
    }

    /// Takes the data port. A memkvd that was killed is reaped before the kernel has taken its ring
    /// down, and with it the listener: the port is given a second to come free.
    private static func listen(_ address: ListenAddress) throws(StartFailure) -> TCPListener {
        for attempt in 1... {
            do throws(ListenError) {
                return try TCPListener(address: address.host, port: address.port)
            } catch {
                guard case .refused(_, _, let reason) = error, reason.code == EADDRINUSE else {
                    throw StartFailure(code: .failed, message: error.description)
                }
                if attempt == 50 { throw inUse(address.description, "data") }
                usleep(20_000)
            }
        }
        preconditionFailure("more attempts to listen than numbers")
    }

    private static func inUse(_ address: String, _ purpose: String) -> StartFailure {
        StartFailure(
            code: .addressInUse,
            message: "the \(purpose) port \(address) is in use: another memkvd, perhaps; "
                + "stop it or choose another with --listen HOST:PORT")
    }

    private static func nothingThere(_ absent: [AbsentDrive]) -> StartFailure {
        StartFailure(
            code: .driveRefused,
            message: "no drive of the store is there: "
                + absent.map { "\($0.name) (\($0.reason))" }.joined(separator: ", ") + ". "
                + "Check storage.drives, or make the store with `memkv setup`")
    }

    // MARK: Running

    /// Serves until `control` is asked to stop or something fails.
    func run(control: DaemonControl) async throws(StartFailure) -> ExitCode {
        logStart()
        let remote = DaemonRemote(
            settings, slabs: slabs, ranges: remoteRanges, control: control)
        let (events, source) = AsyncStream<(shard: Int, event: ShardEvent)>.makeStream()
        for plan in plans {
            Threads.start(named: "shard-\(plan.index)") {
                Shard.run(plan, control: control, remote: remote) {
                    source.yield((plan.index, $0))
                }
            }
        }
        let reports = AsyncStream<RemoteReport>.makeStream()
        let following = Task {
            await follow(remote, (stream: reports.stream, source: reports.continuation))
        }
        let reloading = Task { await reloadKeys(whenAsked: control) }
        let news = DriveNews(plans.map(\.cells.drives))
        let telling = Task { await tell(news) }
        defer {
            reloading.cancel()
            telling.cancel()
            log(news.take())
        }
        let ending = Ending()
        var progress = Progress(shards: plans.count)
        for await (shard, event) in events {
            if case .opened(_, _, let absent) = event { progress.absent += absent }
            let hasDrives = progress.absent.count < store.drives.count
            // A store without any drive ends before it serves, whatever its shards say meanwhile.
            if hasDrives || !event.isReady { log(event, shard: shard, control: control) }
            switch event {
            case .opened:
                progress.opened += 1
                if !hasDrives {
                    ending.record(Self.nothingThere(progress.absent))
                    control.stop(reason: "no drive is there")
                } else if progress.opened == plans.count {
                    // Nobody waits for it: it answers until the process ends.
                    Task { await serveAdmin(control: control, ending: ending, remote: remote) }
                }
            case .ready:
                news.begin(shard)
                progress.ready += 1
                if progress.ready == plans.count { announce() }
            case .stopped: progress.ended += 1
            case .failed(let failure):
                progress.ended += 1
                ending.record(failure)
                control.stop(reason: "a shard failed")
            case .refusedPeers, .refusals, .draining: break
            }
            if progress.ended == plans.count { break }
        }
        await remote.stop()
        reports.continuation.finish()
        await following.value
        if let failure = ending.failure { throw failure }
        return .stopped
    }

    private struct Progress {
        let shards: Int
        var opened = 0
        /// Drives that aren't there, with the reason.
        var absent: [AbsentDrive] = []
        var ready = 0
        var ended = 0
    }

    private func serveAdmin(
        control: DaemonControl, ending: Ending, remote: DaemonRemote
    ) async {
        let model = AdminModel(
            shards: plans.map {
                .init(
                    cells: $0.cells, drivePaths: $0.driveNames,
                    driveNumbers: $0.place.driveNumbers)
            }, slabs: slabs,
            blockSizeBytes: settings.engine.blockSizeBytes, started: started,
            surroundings: surroundings(remote))
        var quiet = logger
        quiet.logLevel = max(.warning, logger.logLevel)
        let listen = settings.listen
        do throws(AdminServerError) {
            try await AdminServer.run(
                model: model, host: listen.host, port: listen.adminPort, security: adminSecurity,
                logger: quiet
            ) {
                logger.info("admin endpoint", metadata: ["address": "\(listen.adminAddress)"])
            }
        } catch {
            switch error {
            case .addressInUse: ending.record(Self.inUse(listen.adminAddress, "admin"))
            case .failed(let reason):
                ending.record(
                    StartFailure(code: .failed, message: "the admin endpoint failed: \(reason)"))
            }
            control.stop(reason: "the admin endpoint failed")
        }
    }
}

// MARK: - What the admin endpoint asks

extension Daemon {
    private static func adminSecurity(
        _ settings: AdminSettings
    ) throws(StartFailure) -> AdminSecurity {
        do throws(AdminServerError) {
            return try AdminSecurity(
                files: settings.files.map { .init(certificate: $0.certificate, key: $0.key) },
                token: settings.token)
        } catch {
            guard case .failed(let reason) = error else { preconditionFailure("\(error)") }
            throw StartFailure(
                code: .usage, message: "network.tls_cert and network.tls_key: \(reason)")
        }
    }

    private func surroundings(_ remote: DaemonRemote) -> AdminModel.Surroundings {
        let counters = plans.map(\.counters)
        let cells = plans.map(\.cells)
        let began =
            Double(SystemCalls.wallClockMilliseconds()) / 1000
            - Double(started.duration(to: .now).components.seconds)
        return AdminModel.Surroundings(
            version: ProductVersion.current,
            transports: {
                let connections = cells.reduce(0) { $0 + $1.value(ShardGauge.rdmaConnections) }
                let rdma = remote.transportReading(connections: connections)
                return [TransportReading(tcp: counters)] + (rdma.map { [$0] } ?? [])
            },
            rdma: { remote.reading },
            process: { ProcessReading(startSeconds: began) })
    }
}

// MARK: - What the operator reads

extension Daemon {
    private func logStart() {
        logger.info(
            "start",
            metadata: [
                "version": "\(ProductVersion.current)", "address": "\(settings.listen)",
                "authentication": "\(authenticationText)",
                "drives": "\(store.names.joined(separator: ","))",
                "mode": "\(store.drives[0].mode)",
                "block_size":
                    "\(ByteSize.format(ByteCount(UInt64(settings.engine.blockSizeBytes))))",
                "min_slot":
                    "\(ByteSize.format(ByteCount(UInt64(settings.engine.minimumSlotBytes))))",
                "eviction": "\(evictionText)", "durability": "durable",
                "shards": "\(plans.count)",
                "slabs": "\(slabs.slabCount) of \(ByteSize.format(slabs.slabBytes))",
                "memory": "\(memoryDescription)",
                "sessions": "\(plans[0].transport.limits.sessions)",
            ])
        if let descriptorShortage { logger.warning("\(descriptorShortage)") }
        #if PLANTED_BUGS
        if let bug = plans[0].engine.plantedBug {
            logger.critical("planted bug", metadata: ["bug": "\(bug.rawValue)"])
        }
        #endif
        if store.isNew { logger.info("store made", metadata: ["drive": "\(store.names[0])"]) }
    }

    private var authenticationText: String {
        guard !settings.authentication.keys.isEmpty else { return "off" }
        let text = Self.list(settings.authentication.keys)
        return settings.authentication.tagsPayloads ? "\(text), with payloads" : text
    }

    private var evictionText: String {
        settings.engine.evictionEnabled
            ? "from \(settings.engine.evictionWatermarkPercent) %" : "off"
    }

    private func log(_ event: ShardEvent, shard: Int, control: DaemonControl) {
        var logger = logger
        logger[metadataKey: "shard"] = "\(shard)"
        switch event {
        case .opened(let ring, let processor, let absent):
            let place = processor.map(String.init) ?? "any"
            logger.info("drives opened", metadata: ["ring": "\(ring)", "processor": "\(place)"])
            for drive in absent {
                logger.warning(
                    "drive absent",
                    metadata: ["drive": "\(drive.name)", "reason": "\(drive.reason)"])
            }
        case .ready: logRecovery(plans[shard], logger)
        case .refusals(let counts):
            logger.warning(
                "clients refused",
                metadata: Logger.Metadata(
                    uniqueKeysWithValues: counts.map { ($0.name, "\($0.count)") }))
        case .refusedPeers(let first, let count):
            logger.warning(
                "authentication refused",
                metadata: [
                    "peer": "\(first.peer)", "reason": "\(first.problem)", "count": "\(count)",
                ])
        case .draining:
            logger.info("draining", metadata: ["reason": "\(control.reason ?? "unknown")"])
        case .stopped: logger.info("stopped")
        case .failed: break  // Said once, as the daemon's last words.
        }
    }

    /// Starts RDMA, if there is any, and tells how it is, until `reports` end.
    private func follow(_ remote: DaemonRemote, _ reports: RemoteReports) async {
        remote.start { reports.source.yield($0) }
        for await report in reports.stream { log(report) }
    }

    private func log(_ report: RemoteReport) {
        for sentence in report.news {
            logger.notice("rdma link", metadata: ["what": "\(sentence)"])
        }
        if report.problems.isEmpty, !report.devices.isEmpty {
            logger.notice(
                "rdma ready", metadata: ["devices": "\(report.devices.joined(separator: ", "))"])
        }
        for problem in report.problems {
            logger.error("rdma impaired", metadata: ["reason": "\(problem)"])
        }
    }

    private typealias RemoteReports = (
        stream: AsyncStream<RemoteReport>, source: AsyncStream<RemoteReport>.Continuation
    )

    /// Tells what changes about the drives, until the task is cancelled.
    private func tell(_ news: DriveNews) async {
        while !Task.isCancelled {
            log(news.take())
            try? await Task.sleep(for: .milliseconds(100))
        }
    }

    private func log(_ changes: [(shard: Int, drive: Int, change: DriveChange)]) {
        for (shard, drive, change) in changes {
            var logger = logger
            logger[metadataKey: "shard"] = "\(shard)"
            let name = plans[shard].driveNames[drive]
            switch change {
            case .condition(let condition): log(condition, of: name, logger)
            case .fileSystemFull:
                logger.warning("file system full", metadata: ["drive": "\(name)"])
            }
        }
    }

    /// `drive offline` and `drive degraded` with the cause, `drive back` when it is over.
    private func log(_ condition: DriveCondition, of name: String, _ logger: Logger) {
        var metadata: Logger.Metadata = ["drive": "\(name)"]
        if !condition.causes.isEmpty {
            metadata["cause"] = "\(condition.causes.joined(separator: ","))"
        }
        if let (error, code) = condition.fence?.failure {
            metadata["error"] = code == 0 ? "\(error)" : "\(SystemError(-code))"
        }
        switch condition.word {
        case "offline": logger.error("drive offline", metadata: metadata)
        case "degraded": logger.warning("drive degraded", metadata: metadata)
        default: logger.notice("drive back", metadata: metadata)
        }
    }

    private func logRecovery(_ plan: ShardPlan, _ logger: Logger) {
        let recovery = plan.cells.histogram(ShardTiming.recovery)
        for (name, cells) in zip(plan.driveNames, plan.cells.drives) {
            switch cells.state {
            case .absent: continue
            case .offline:
                log(cells.condition, of: name, logger)
                continue
            case .recovering, .online: break
            }
            logger.info(
                "drive recovered",
                metadata: [
                    "drive": "\(name)", "blocks": "\(cells.value(DriveGauge.blocks))",
                    "records": "\(cells.value(DriveCounter.recoveredRecords))",
                    "torn": "\(cells.value(DriveCounter.recoveredTornPayloads))",
                    "repairs": "\(cells.value(DriveCounter.journalRepairs))",
                    "superblock_repairs": "\(cells.value(DriveCounter.superblockRepairs))",
                    "returned_empty": "\(cells.value(DriveCounter.returnedEmpty))",
                    "superseded": "\(cells.value(DriveCounter.supersededBlocks))",
                    "epoch": "\(cells.value(DriveGauge.epoch))",
                    "used_bytes": "\(cells.value(DriveGauge.usedBytes))",
                    "usable_bytes": "\(cells.value(DriveGauge.usableBytes))",
                ])
        }
        logger.info(
            "ready",
            metadata: [
                "blocks": "\(plan.cells.value(ShardGauge.blocks))",
                "recovery_ms": "\(recovery.sum / 1000)",
            ])
    }

    /// Tells a person at a terminal what to type next. Only for `--data`: a configured server is
    /// started by a service manager, which reads the log.
    private func announce() {
        guard case .directory = settings.store else { return }
        let program = CommandLine.arguments[0]
        let folder = program.lastIndex(of: "/").map { String(program[...$0]) } ?? ""
        let server =
            settings.listen == .standard ? "" : " --server \(settings.listen)"
        let memkv = "\(folder)memkv"
        let key = settings.authentication.keys.isEmpty ? "" : ", with a key in MEMKV_AUTH_KEY"
        SystemCalls.write(
            """
            memkvd serves \(store.names[0]) on \(settings.listen). In another terminal\(key):
              \(memkv) put\(server) greeting README.md
              \(memkv) get\(server) greeting -o greeting.copy
              \(memkv) import\(server) FILE -o file.manifest
              \(memkv) export\(server) file.manifest -o file.copy
              curl http://\(settings.listen.adminAddress)/v1/status
            Ctrl-C stops it; started again, it has everything it acknowledged.

            """, to: SystemCalls.standardOutput)
    }
}

#endif
