// RunSummary: prints what became of runs, and adds them up.

internal import Foundation
package import Simulation

package struct RunSummary {
    private let options: RunOptions
    /// As whoever repeats a run calls it: "memkv-sim".
    private let command: String
    /// What whoever repeats a record must say of where it is.
    private let recordOption: String
    private var runs = 0
    private var failed = 0
    private var requests: UInt64 = 0
    private var judged: UInt64 = 0
    private var faults: UInt64 = 0
    private var virtualMicroseconds: UInt64 = 0
    private var realMicroseconds: UInt64 = 0
    private var reached: Set<String> = []
    /// Runs of negative scenarios that were caught, by path.
    private var caught: [String: Int] = [:]
    package private(set) var hasFailed = false

    package init(options: RunOptions, command: String, recordOption: String = "") {
        self.options = options
        self.command = command
        self.recordOption = recordOption
    }

    /// Prints the report; `number` is its record's, if there is one.
    package mutating func take(
        _ report: RunReport, of file: ScenarioFile, recordedAs number: Int64? = nil
    ) {
        runs += 1
        requests += report.requests
        judged += report.judged
        faults += report.faultsStruck
        virtualMicroseconds += report.virtualMicroseconds
        realMicroseconds += report.realMicroseconds
        for state in report.reached { reached.insert(state.rawValue) }
        let isRight = judge(report, file)
        if !isRight { failed += 1 }
        if options.json {
            Output.say(JSONLine.of(report, path: file.path, recordedAs: number))
        } else if !isRight || !options.quiet {
            Output.say(line(report, file, isRight: isRight))
        }
        guard !isRight, !options.json else { return }
        explain(report, file, recordedAs: number)
    }

    /// Whether the run ended as it should.
    private mutating func judge(_ report: RunReport, _ file: ScenarioFile) -> Bool {
        guard let expected = file.scenario.mustViolate else { return report.hasPassed }
        if report.violation?.assertion == expected {
            caught[file.path, default: 0] += 1
            return true
        }
        // Another seed may show it; another assertion may not.
        return report.verdict != .violated
    }

    private func line(_ report: RunReport, _ file: ScenarioFile, isRight: Bool) -> String {
        var verdict = isRight ? "passed" : "FAILED"
        if file.scenario.mustViolate != nil, isRight {
            verdict = report.violation == nil ? "passed (not shown)" : "caught"
        }
        return "\(verdict) \(file.path) seed \(report.seed) fingerprint \(report.fingerprintText) "
            + "\(report.requests) requests \(report.faultsStruck) faults "
            + "\(Self.seconds(report.virtualMicroseconds)) s virtual "
            + "\(Self.seconds(report.realMicroseconds)) s real"
    }

    private func explain(
        _ report: RunReport, _ file: ScenarioFile, recordedAs number: Int64?
    ) {
        if let violation = report.violation {
            Output.say("  \(violation.assertion): \(violation.detail)")
            Output.say("  at \(Self.seconds(violation.atMicroseconds)) s of the run")
        } else if file.scenario.mustViolate == nil {
            Output.say("  below its minimum: " + report.shortfalls.joined(separator: ", "))
        }
        for fault in report.faults.suffix(8) {
            let end = fault.endedMicroseconds.map { " to \(Self.seconds($0)) s" } ?? ""
            Output.say(
                "  \(fault.name) on \(fault.target) from \(Self.seconds(fault.beganMicroseconds)) s"
                    + "\(end) \(fault.detail)")
        }
        for event in report.events.suffix(8) {
            Output.say("  \(Self.seconds(event.atMicroseconds)) s \(event.subject): \(event.what)")
        }
        Output.say("  again: \(again(report, file))")
        if let number { Output.say("  recorded: \(command) replay \(number)\(recordOption)") }
    }

    private func again(_ report: RunReport, _ file: ScenarioFile) -> String {
        var words = "\(command) run \(file.path) --seed \(report.seed)"
        if let planted = options.planted { words += " --plant \(planted)" }
        return words
    }

    package mutating func finish(_ files: [ScenarioFile]) {
        for file in files where file.scenario.mustViolate != nil && caught[file.path] == nil {
            hasFailed = true
            Output.say(
                "FAILED \(file.path): no seed was caught by \(file.scenario.mustViolate ?? "")")
        }
        if failed > 0 { hasFailed = true }
        let missing = ReachedState.allCases.filter { !reached.contains($0.rawValue) }
        if options.requireReached, !missing.isEmpty { hasFailed = true }
        guard !options.json else { return }
        // The process's time on processors: what others do on the machine isn't in it.
        let busyMicroseconds = UInt64(clock()) * 1_000_000 / UInt64(CLOCKS_PER_SEC)
        let rate = busyMicroseconds == 0 ? 0 : requests * 1_000_000 / busyMicroseconds
        Output.say(
            "\(runs) runs, \(failed) failed: \(requests) requests (\(judged) keys) judged, "
                + "\(faults) faults struck, \(Self.seconds(virtualMicroseconds)) s virtual in "
                + "\(Self.seconds(realMicroseconds)) s real, \(rate) requests a core-second")
        Output.say("\(reached.count) of \(ReachedState.allCases.count) states reached")
        if options.requireReached, !missing.isEmpty {
            Output.say("never reached: " + missing.map(\.rawValue).joined(separator: ", "))
        }
    }

    static func seconds(_ microseconds: UInt64) -> String {
        let milliseconds = String(microseconds / 1000 % 1000)
        return "\(microseconds / 1_000_000)."
            + String(repeating: "0", count: 3 - milliseconds.count) + milliseconds
    }
}

/// A report as one line of JSON.
enum JSONLine {
    static func of(
        _ report: RunReport, path: String, recordedAs number: Int64? = nil
    ) -> String {
        var fields = [
            "\"scenario\":\(text(path))", "\"seed\":\(report.seed)",
            "\"fingerprint\":\"\(report.fingerprintText)\"",
            "\"verdict\":\"\(report.verdict.rawValue)\"",
            "\"requests\":\(report.requests)", "\"judged\":\(report.judged)",
            "\"faults\":\(report.faultsStruck)",
            "\"virtual_us\":\(report.virtualMicroseconds)",
            "\"real_us\":\(report.realMicroseconds)",
        ]
        if let number { fields.append("\"run\":\(number)") }
        if let violation = report.violation {
            fields.append(
                "\"violation\":{\"assertion\":\(text(violation.assertion)),"
                    + "\"detail\":\(text(violation.detail)),\"at_us\":\(violation.atMicroseconds)}")
        }
        if !report.shortfalls.isEmpty {
            fields.append(
                "\"shortfalls\":[" + report.shortfalls.map(text).joined(separator: ",") + "]")
        }
        fields.append("\"outcomes\":\(object(report.outcomes.map { ($0.status, $0.count) }))")
        fields.append("\"felt\":\(object(report.felt.map { ($0.name, $0.count) }))")
        fields.append(
            "\"reached\":["
                + report.reached.map { text($0.rawValue) }.joined(separator: ",") + "]")
        return "{" + fields.joined(separator: ",") + "}"
    }

    private static func object(_ pairs: [(String, UInt64)]) -> String {
        "{" + pairs.map { "\(text($0)):\($1)" }.joined(separator: ",") + "}"
    }

    private static func text(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
