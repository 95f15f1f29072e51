// Scenarios as people write them, and what they are told when they write something else.

import Schema
import Simulation
import Testing

@testable import Scenarios

@Suite struct ScenarioDocumentTests {
    private static let least = """
        about: Nothing happens.
        clients:
          - keys: 10
        minimum:
          requests: 1

        """

    private func problem(_ text: String) -> String {
        do throws(ConfigurationError) {
            _ = try ScenarioDocument.read(text, file: "faults/some.yaml")
            return "it was read"
        } catch { return "\(error)" }
    }

    @Test func valuesAndRangesAreRead() throws {
        let scenario = try ScenarioDocument.read(
            Self.least + """
                store:
                  drives: {from: 2, to: 4}
                  drive_size: 16MiB
                duration: 1500ms
                faults:
                  - kind: drive_slow
                    at: {from: 1s, to: 2s}
                    for: 10s
                    factor: {from: 2, to: 1000}
                    course: ramp
                    drive: 1
                expect:
                  - {health: degraded, within: 1s}
                must_violate: some-assertion
                """, file: "faults/some.yaml")
        #expect(scenario.name == "some")
        #expect(scenario.store.drives == Drawn(from: 2, to: 4))
        #expect(scenario.store.driveBytes == Drawn(16 << 20))
        #expect(scenario.durationMicroseconds == Drawn(1_500_000))
        let fault = try #require(scenario.faults.first)
        #expect(fault.name == .driveSlow)
        #expect(fault.atMicroseconds == Drawn(from: 1_000_000, to: 2_000_000))
        #expect(fault.amount == Drawn(from: 2, to: 1000))
        #expect(fault.choice == "ramp")
        #expect(fault.drive == 1)
        #expect(scenario.mustViolate == "some-assertion")
    }

    @Test(
        arguments: [
            ("stor:\n  drives: 2", "some.yaml:6: stor: unknown key; did you mean store?"),
            (
                "duration: 10",
                "some.yaml:6: duration: \"10\" is not understood; write a whole number"
            ),
            ("store:\n  drive_size: 16", "some.yaml:7: store.drive_size: \"16\" is not understood"),
            ("store:\n  drives: {from: 4, to: 2}", "lies before from, 4"),
            ("store:\n  drives: {from: 4}", "store.drives.to: a range has from and to"),
            ("store:\n  drives: 100", "store.drives: 100 must lie between 1 and 64"),
            ("store:\n  min_slot: 5000B", "store.min_slot: must be a power of two"),
            ("faults:\n  - kind: meteor", "faults[0].kind: \"meteor\" is not one of drive_offline"),
            ("faults:\n  - kind: flush_error\n    for: 1s", "flush_error can't use it"),
            ("faults:\n  - kind: power_cut\n    drive: 1", "power_cut can't use it"),
            ("expect:\n  - {health: degraded}", "say how soon"),
        ])
    func whatIsWrongIsNamedWithItsLine(addition: String, message: String) {
        let told = problem(Self.least + addition)
        #expect(told.hasPrefix("faults/some.yaml:"), "\(told)")
        #expect(told.contains(message), "\(told)")
    }

    @Test func aScenarioThatProvesNothingIsRefused() {
        #expect(problem("about: x\nclients:\n  - keys: 1\n").contains("minimum"))
        #expect(problem("about: x\nminimum:\n  requests: 1\n").contains("clients"))
        #expect(problem("minimum:\n  requests: 1\n").contains("about"))
    }
}
