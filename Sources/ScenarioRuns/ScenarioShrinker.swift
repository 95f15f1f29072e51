// ScenarioShrinker: a smaller scenario that still fails: delta debugging (Zeller and Hildebrandt,
// IEEE TSE 28(2), 2002) over the parts of a scenario, then over its numbers.
//
// Always holds: each step leaves a scenario that `fails` as it reads when written down, so that the
// file is what was judged; the order of steps is fixed, so the same
// scenario and the same judgement give the same result. Ends when nothing more can be left out, or
// after a number of tries.

internal import Scenarios
package import Simulation

package struct ScenarioShrinker {
    private var scenario: Scenario
    private let fails: (Scenario) -> Bool
    private var rest: Int
    /// Candidates that were run, and those that still failed.
    package private(set) var tried = 0
    package private(set) var kept = 0

    /// `scenario` fails.
    package init(_ scenario: Scenario, tries: Int, fails: @escaping (Scenario) -> Bool) {
        self.scenario = scenario
        self.fails = fails
        rest = tries
    }

    package mutating func shrink() -> Scenario {
        // What a smaller run can't reach must not be what it is judged by.
        attempt {
            $0.minimum = Minimum()
            $0.minimum.requests = 1
        }
        attempt { $0.bounds.missesPerMille = 1000 }
        var before = -1
        while kept != before, rest > 0 {
            before = kept
            leaveOut(\.expectations)
            leaveOut(\.faults)
            leaveOut(\.clients)
            narrow()
        }
        return scenario
    }

    /// Keeps the change if the scenario still fails.
    @discardableResult
    private mutating func attempt(_ change: (inout Scenario) -> Void) -> Bool {
        guard rest > 0 else { return false }
        var candidate = scenario
        change(&candidate)
        let text = ScenarioText.of(candidate)
        // Reading refuses what no scenario may say, such as a drive without a channel.
        guard text != ScenarioText.of(scenario),
            let read = try? ScenarioDocument.read(text, file: scenario.name)
        else { return false }
        rest -= 1
        tried += 1
        guard fails(read) else { return false }
        scenario = read
        kept += 1
        return true
    }

    // MARK: Parts

    /// Leaves out halves of a list, then quarters, then single items.
    private mutating func leaveOut<Item>(_ list: WritableKeyPath<Scenario, [Item]>) {
        var size = scenario[keyPath: list].count
        while size > 0 {
            var start = 0
            while start < scenario[keyPath: list].count {
                let end = min(start + size, scenario[keyPath: list].count)
                let isLeftOut = attempt { $0[keyPath: list].removeSubrange(start..<end) }
                if !isLeftOut { start = end }
            }
            size /= 2
        }
    }

    // MARK: Numbers

    private mutating func narrow() {
        for number in Self.numbers { narrow(number) }
        for group in scenario.clients.indices {
            for share in Self.shares { attempt { $0.clients[group].mix[keyPath: share] = 0 } }
            for number in Self.clientNumbers {
                narrow((\Scenario.clients[group] as WritableKeyPath).appending(path: number))
            }
        }
        for fault in scenario.faults.indices {
            for number in Self.faultNumbers {
                narrow((\Scenario.faults[fault] as WritableKeyPath).appending(path: number))
            }
        }
    }

    /// A range to one of its ends, then a value towards the least that reading takes.
    private mutating func narrow(_ number: WritableKeyPath<Scenario, Drawn>) {
        let drawn = scenario[keyPath: number]
        if drawn.from != drawn.to {
            let isFixed = attempt { $0[keyPath: number] = Drawn(drawn.from) }
            if !isFixed { attempt { $0[keyPath: number] = Drawn(drawn.to) } }
        }
        while true {
            let now = scenario[keyPath: number]
            guard now.from == now.to, now.from > 0 else { return }
            let isSmaller = attempt { $0[keyPath: number] = Drawn(now.from / 2) }
            if !isSmaller { return }
        }
    }

    private static var numbers: [WritableKeyPath<Scenario, Drawn>] {
        [
            \.durationMicroseconds, \.store.shards, \.store.drives,
        ]
    }
    private static var clientNumbers: [WritableKeyPath<ClientGroup, Drawn>] {
        [
            \.count, \.inFlight, \.connections, \.namespaces, \.keys, \.valueBytes, \.batchItems,
            \.thinkMicroseconds,
        ]
    }
    private static var shares: [WritableKeyPath<OperationMix, UInt64>] {
        [
            \.prefix, \.deleteBatch, \.getBatch, \.putBatch, \.stat, \.exists, \.delete, \.get,
            \.put,
        ]
    }
    private static var faultNumbers: [WritableKeyPath<FaultPlan, Drawn>] {
        [
            \.times, \.atMicroseconds, \.lastsMicroseconds, \.amount,
        ]
    }
}
