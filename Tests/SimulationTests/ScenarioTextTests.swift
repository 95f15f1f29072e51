// A scenario written down reads as the same scenario.

import Foundation
import Scenarios
import Schema
import Simulation
import Testing

@Suite struct ScenarioTextTests {
    /// Every value of a scenario, but for the hash of the text.
    private func values(_ scenario: Scenario) -> String {
        var scenario = scenario
        scenario.contentHash = 0
        return String(describing: scenario)
    }

    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("SimScenarios")

    @Test func everyScenarioOfTheProjectReadsTheSameWhenWrittenDown() throws {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: Self.folder.path)
            .filter { $0.hasSuffix(".yaml") }.sorted()
        #expect(paths.count > 20)
        for path in paths {
            let text = try String(
                contentsOf: Self.folder.appendingPathComponent(path), encoding: .utf8)
            let scenario = try ScenarioDocument.read(text, file: path)
            let again = try ScenarioDocument.read(ScenarioText.of(scenario), file: path)
            #expect(values(again) == values(scenario), "\(path)")
        }
    }

    @Test func everythingThatCanBeSaidIsWritten() throws {
        let text = """
            about: "A \\"quoted\\" sentence: with a \\\\ and more."
            store:
              shards: 2
              drives: {from: 2, to: 3}
              drive_size: 32MiB
              sector_size: 512B
              block_size: 128KiB
              min_slot: 8KiB
              journal_blocks: 40
              slabs: 50
              dirty_entries: {from: 20, to: 30}
              eviction: false
              mode: file
              requests_per_session: 7
              sessions: 9
              planted_bug: noFlush
            drive: {channels: 3, read: 1ms, write: 2us, flush: 3ms, bytes_per_us: 100B}
            network: {latency: 1us, bytes_per_us: 200B, pieces: 3%, authenticated_runs: 4%}
            rdma: {queue_pairs: 3, credits: {from: 2, to: 4}, leases_per_session: 5, lease_time: 6s,
                   control_time: 7us}
            clients:
              - {count: 2, in_flight: 3, connections: 4, namespaces: 5, keys: 6, skew: uniform,
                 value_size: 7B, batch_items: 8, mix: {get: 1, prefix: 2}, deadline: 9s, think: 1s}
              - {keys: 10, transport: leases}
            duration: {from: 1s, to: 2s}
            faults:
              - {kind: drive_slow, at: 1s, for: 2s, times: 3, drive: 1, factor: 4, course: ramp}
              - {kind: slow_client, client: 2, bytes_per_ms: 5B}
              - {kind: clock_jump, by: 2s}
              - {kind: queue_pair_error, client: 1, every: 9ms, when: in_transfer}
              - {kind: late_remote_writes, share: 7%}
            minimum: {requests: 5, faults: 1, felt: {restarts: 2, misses: 3}}
            bounds: {misses_per_mille: 1, refusals_per_mille: 2}
            expect:
              - {health: degraded, within: 1s}
              - {healthy_again_within: 2s}
              - {throughput_at_least: 70%}
              - {p99_at_most: 120%}
              - {remote_again_within: 3s}
            must_violate: some-assertion
            """
        let scenario = try ScenarioDocument.read(text, file: "all.yaml")
        let written = ScenarioText.of(scenario)
        let again = try ScenarioDocument.read(written, file: "all.yaml")
        #expect(values(again) == values(scenario), "\(written)")
    }
}
