// memkv admin: the table, the JSON, and the codes.

import Foundation
import Testing

@Suite struct AdminCommandTests {
    private let status = """
        {"memory": {"used_bytes": 1048576, "total_bytes": 268435456, "slabs_allocated": 1,
         "slabs_total": 64}, "storage": {"num_devices": 1, "block_size_bytes": 4194304,
         "total_blocks": 3, "raw_bytes_total": 1073741824, "usable_bytes_total": 1000000000,
         "used_bytes_total": 250000000, "devices": [{"device_id": 0, "path": "/data/drive-0",
         "total_slots": 256, "allocated_slots": 3, "raw_capacity_bytes": 1073741824,
         "usable_bytes": 1000000000, "metadata_bytes": 73741824, "used_bytes": 250000000},
         {"device_id": 1, "path": "/data/drive-1", "total_slots": 0, "allocated_slots": 0,
         "raw_capacity_bytes": 0, "usable_bytes": 0, "metadata_bytes": 0, "used_bytes": 0,
         "state": "absent"}]},
         "rdma": {"active_connections": 0}, "blocks_total": 3, "blocks_persisted": 2,
         "uptime_seconds": 77}
        """

    private func run(
        _ answers: [String: String], _ arguments: String...
    ) throws -> (result: CommandResult, port: UInt16) {
        let server = ReferenceServer(Behaviour(adminAnswers: answers))
        defer { server.stop() }
        return (
            try CommandLineTool.run(
                ["admin"] + arguments + ["--server", "127.0.0.1:\(server.port)"]),
            server.port
        )
    }

    @Test func statusIsATableWithUsedOfUsable() throws {
        let (result, port) = try run(["/v1/status": status], "status")
        #expect(result.code == 0)
        #expect(
            result.text == """
                server   127.0.0.1:\(port), up 77 s
                storage  238.4 MiB / 953.7 MiB  25.0 %
                memory   1.0 MiB / 256.0 MiB  0.4 %
                blocks   3, 2 persisted, up to 4.0 MiB a slot
                drive 0  238.4 MiB / 953.7 MiB  25.0 %          /data/drive-0
                drive 1  0 B / 0 B  0.0 %               absent  /data/drive-1

                """)
        let json = try run(["/v1/status": status], "status", "--json").result
        #expect(json.text == status + "\n")
    }

    @Test func healthEndsWith1WhenItIsNot() throws {
        let healthy = #"{"status":"healthy","drives_online":2,"drives_offline":0,"drives_total":2}"#
        let (result, port) = try run(["/v1/health": healthy], "health")
        #expect(result.code == 0)
        #expect(result.text == "127.0.0.1:\(port)  healthy, 2 of 2 drives online\n")
        let sick = #"{"status":"degraded","drives_online":1,"drives_offline":1,"drives_total":2}"#
        let (worse, _) = try run(["/v1/health": sick], "health")
        #expect(worse.code == 1)
        #expect(worse.text.hasSuffix("degraded, 1 of 2 drives online, 1 offline\n"))
    }

    @Test func anAnswerThatIsNoStatusIsNamed() throws {
        #expect(try run(["/v1/status": "[]"], "status").result.code == 5)
        #expect(try run(["/v1/other": ""], "status").result.code == 4)
        #expect(try run([:], "status").result.code == 3)
    }
}
