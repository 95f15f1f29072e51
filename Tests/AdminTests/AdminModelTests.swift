// The answers of the admin endpoint, from cells that the test has set: shapes as the
// monitoring contract has them, numbers as the cells do.

import Testing

@testable import Admin
@testable import Engine

extension AdminModel.Surroundings {
    /// No transport, and a process of which nothing is known.
    static let none = Self(
        version: "1.2.3", transports: { [] }, process: { ProcessReading() })
}

/// A server of one shard whose cells a test sets.
@safe final class Fixture {
    private let memory: UnsafeMutableRawPointer
    let cells: ShardCells
    let slabs: SlabPool
    let model: AdminModel
    let started = ContinuousClock.now

    init(drives: [DriveState], surroundings: AdminModel.Surroundings = .none) {
        let bytes = ByteCount(8 * 4096)
        unsafe memory = .allocate(byteCount: 8 * 4096, alignment: 4096)
        let arena = unsafe Arena(base: memory, length: bytes, isHugePaged: false)
        let region = ArenaRange(start: ArenaOffset(0), length: bytes)
        slabs = SlabPool(arena: arena, region: region, slabBytes: ByteCount(4096))
        cells = ShardCells(driveCount: drives.count)
        for (cell, state) in zip(cells.drives, drives) {
            cell.set(DriveGauge.state, to: UInt64(state.rawValue))
        }
        let paths = drives.indices.map { "/srv/drive-\($0)" }
        model = AdminModel(
            shards: [.init(cells: cells, drivePaths: paths)], slabs: slabs,
            blockSizeBytes: 4 << 20, started: started, surroundings: surroundings)
    }

    deinit { unsafe memory.deallocate() }
}

@Suite struct AdminModelTests {
    @Test(
        arguments: [
            ([.online, .online], 200, "healthy", 2, 0),
            ([.online, .offline], 200, "degraded", 1, 1),
            ([.online, .absent, .offline], 200, "degraded", 1, 2),
            ([.offline], 503, "unhealthy", 0, 1),
            ([.absent, .offline], 503, "unhealthy", 0, 2),
            ([.recovering], 200, "healthy", 0, 0),
            ([.recovering, .offline], 200, "degraded", 0, 1),
        ] as [([DriveState], Int, String, Int, Int)])
    func healthTellsTheDrivesStates(
        states: [DriveState], code: Int, status: String, online: Int, offline: Int
    ) {
        let answer = Fixture(drives: states).model.health()
        #expect(answer.statusCode == code)
        #expect(answer.format == .json)
        #expect(
            answer.body
                == "{\"status\":\"\(status)\",\"rdma_active\":false,\"drives_online\":\(online),"
                + "\"drives_offline\":\(offline),\"drives_total\":\(states.count)}")
    }

    @Test func anImpairedDriveIsOnlineAndMakesTheServerDegraded() {
        for causes in [DriveImpairments.slow, .mediaErrors, .writesStalled, .unresponsive] {
            let fixture = Fixture(drives: [.online, .online])
            fixture.cells.drives[1].set(.impairments, to: UInt64(causes.rawValue))
            let answer = fixture.model.health()
            #expect(answer.statusCode == 200)
            #expect(answer.body.hasPrefix("{\"status\":\"degraded\""))
            #expect(answer.body.contains("\"drives_online\":2,\"drives_offline\":0"))
        }
        // What impaired a drive before it was lost says nothing any more.
        let lost = DriveCondition(state: .offline, impairments: .slow, fence: .unresponsive)
        #expect(lost.causes == ["unresponsive"])
        #expect(lost.word == "offline")
        #expect(ServerHealth(drives: [lost]) == .unhealthy)
        let good = DriveCondition(state: .online)
        #expect(ServerHealth(drives: [good]) == .healthy)
        #expect(ServerHealth(drives: [good], isRDMAImpaired: true) == .degraded)
        #expect(ServerHealth(drives: [lost], isRDMAImpaired: true) == .unhealthy)
        #expect(ServerHealth(drives: [lost, DriveCondition(state: .recovering)]) == .degraded)
    }

    @Test(
        arguments: [
            (.recovering, 503, "recovering"), (.serving, 200, "ok"), (.draining, 503, "draining"),
            (.stopped, 503, "stopped"), (.refused, 503, "refused"),
        ] as [(EnginePhase, Int, String)])
    func readyIsOkOnlyWhileServing(phase: EnginePhase, code: Int, start: String) {
        let fixture = Fixture(drives: [.online])
        fixture.cells.set(ShardGauge.phase, to: UInt64(phase.rawValue))
        let answer = fixture.model.ready()
        #expect(answer.statusCode == code)
        #expect(answer.format == .text)
        #expect(answer.body.hasPrefix(start))
        #expect(!answer.body.contains("\n"))
        if phase == .serving { #expect(answer.body == "ok") }
    }

    @Test func oneShardThatIsNotReadyMakesTheServerNotReady() {
        let serving = Fixture(drives: [.online])
        serving.cells.set(ShardGauge.phase, to: UInt64(EnginePhase.serving.rawValue))
        let recovering = Fixture(drives: [.recovering])
        let model = AdminModel(
            shards: [serving, recovering].map { .init(cells: $0.cells, drivePaths: ["/a"]) },
            slabs: serving.slabs, blockSizeBytes: 4 << 20, started: .now, surroundings: .none)
        #expect(model.ready().statusCode == 503)
        #expect(model.health().body.contains("\"drives_total\":2"))
    }

    @Test func statusHasTheContractsShapeAndTheCellsNumbers() {
        let fixture = Fixture(drives: [.online, .absent])
        fixture.cells.set(.blocks, to: 1000)
        fixture.cells.set(.blocksPersisted, to: 950)
        for (index, drive) in fixture.cells.drives.enumerated() {
            let scale = UInt64(index + 1)
            drive.set(.slotsTotal, to: 100 * scale)
            drive.set(.slotsAllocated, to: 42 * scale)
            drive.set(.rawBytes, to: 16000 * scale)
            drive.set(.usableBytes, to: 15000 * scale)
            drive.set(.metadataBytes, to: 1000 * scale)
            drive.set(.usedBytes, to: 7 * scale)
        }
        let impaired = fixture.cells.drives[0]
        impaired.set(.impairments, to: UInt64(DriveImpairments([.slow, .writesStalled]).rawValue))
        impaired.add(3, to: .mediaErrors)
        impaired.set(.quarantinedBytes, to: 4096)
        impaired.set(.operationsInHand, to: 2)
        impaired.add(100, to: .shedStalled)
        impaired.add(10, to: .shedUnresponsive)
        impaired.add(1, to: .shedOverShare)
        impaired.add(1, to: .superblockRepairs)
        impaired.add(4, to: .scrubTurns)
        impaired.set(.scrubPermille, to: 500)
        impaired.add(99, to: .scrubbedBytes)
        impaired.add(2, to: .scrubFindings)
        guard let lease = fixture.slabs.lease(lengthBytes: ByteCount(3 * 4096)) else {
            Issue.record("three of eight slabs could not be leased")
            return
        }
        #expect(lease.count == 3)
        let body = fixture.model.status(now: fixture.started.advanced(by: .milliseconds(3_612_999)))
            .body
        #expect(
            body == #"{"memory":{"used_bytes":12288,"total_bytes":32768,"slabs_allocated":3,"#
                + #""slabs_total":8},"storage":{"num_devices":2,"block_size_bytes":4194304,"#
                + #""total_blocks":1000,"raw_bytes_total":48000,"usable_bytes_total":45000,"#
                + #""used_bytes_total":21,"devices":["#
                + #"{"device_id":0,"path":"/srv/drive-0","total_slots":100,"allocated_slots":42,"#
                + #""raw_capacity_bytes":16000,"usable_bytes":15000,"metadata_bytes":1000,"#
                + #""used_bytes":7,"state":"degraded","causes":["slow","writes_stalled"],"#
                + #""media_errors":3,"quarantined_bytes":4096,"requests_in_hand":2,"#
                + #""requests_shed":111,"superblock_repairs":1,"#
                + #""scrub":{"turns":4,"progress_permille":500,"bytes":99,"findings":2}},"#
                + #"{"device_id":1,"path":"/srv/drive-1","total_slots":200,"allocated_slots":84,"#
                + #""raw_capacity_bytes":32000,"usable_bytes":30000,"metadata_bytes":2000,"#
                + #""used_bytes":14,"state":"absent","causes":[],"media_errors":0,"#
                + #""quarantined_bytes":0,"requests_in_hand":0,"requests_shed":0,"#
                + #""superblock_repairs":0,"scrub":{"turns":0,"progress_permille":0,"bytes":0,"#
                + #""findings":0}}]},"rdma":{"active_connections":0},"blocks_total":1000,"#
                + #""blocks_persisted":950,"uptime_seconds":3612}"#)
    }

    /// Health, status and metrics say the same of RDMA.
    @Test(
        arguments: [
            (nil, "healthy", false, nil),
            (RDMAReading(isActive: true, problems: []), "healthy", true, "true"),
            (RDMAReading(isActive: true, problems: ["a"]), "degraded", true, "true"),
            (RDMAReading(isActive: false, problems: ["a"]), "degraded", false, "false"),
        ] as [(RDMAReading?, String, Bool, String?)])
    func rdmaIsToldAlike(rdma: RDMAReading?, health: String, isActive: Bool, told: String?) {
        let fixture = Fixture(
            drives: [.online],
            surroundings: AdminModel.Surroundings(
                version: "1.2.3", transports: { [] }, rdma: { rdma }, process: { ProcessReading() })
        )
        fixture.cells.set(.rdmaConnections, to: 3)
        let answer = fixture.model.health().body
        #expect(answer.contains("\"status\":\"\(health)\",\"rdma_active\":\(isActive)"))
        let status = fixture.model.status(now: fixture.started).body
        let problems = rdma?.problems.isEmpty == false ? "\"a\"" : ""
        let more =
            told.map { ",\"active\":\($0),\"active_leases\":0,\"problems\":[\(problems)]" } ?? ""
        #expect(status.contains("\"rdma\":{\"active_connections\":3\(more)}"))
        let metrics = fixture.model.metrics(now: fixture.started).body
        #expect(metrics.contains("\nmemkv_rdma_active \(isActive ? 1 : 0)\n"))
        #expect(metrics.contains("\nmemkv_health{status=\"\(health)\"} 1\n"))
        #expect(metrics.contains("\nmemkv_rdma_connections_active 3\n"))
    }

    @Test func textInJSONIsEscaped() {
        #expect(
            JSONText.text("a\"b\\c\nd\u{1}é").rendered == "\"a\\\"b\\\\c\\nd\\u0001é\"")
    }
}
