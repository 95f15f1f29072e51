// Workload: a short sequence of steps, and all of them up to a length.

/// One step.
package enum WorkloadStep: String, CaseIterable, Sendable {
    /// A new key with a value of one slot.
    case put
    /// Another value under the key written last, or under a key that was there before.
    case overwrite
    /// The key written last, or one that was there before.
    case delete
    case evict
    case checkpoint
    /// A new key with a value of several slots.
    case multiSlotPut = "multi"
}

/// Whether a step waits for the one before it.
package enum Pacing: String, CaseIterable, Sendable {
    case oneAtATime = "sequential"
    case allAtOnce = "pipelined"
}

/// Up to a few steps.
package struct Workload: Hashable, Sendable, CustomStringConvertible {
    package let steps: [WorkloadStep]

    package init(_ steps: [WorkloadStep]) { self.steps = steps }

    /// From step names with commas between; nil when one is unknown.
    package init?(_ text: String) {
        var steps: [WorkloadStep] = []
        for name in text.split(separator: ",") {
            guard let step = WorkloadStep(rawValue: String(name)) else { return nil }
            steps.append(step)
        }
        self.steps = steps
    }

    package var description: String { steps.map(\.rawValue).joined(separator: ",") }

    /// Every workload of 1 to `depth` steps: 6, 42, 258, …
    package static func all(depth: Int) -> [Workload] {
        var longest: [Workload] = [Workload([])]
        var found: [Workload] = []
        for _ in 0..<depth {
            longest = longest.flatMap { shorter in
                WorkloadStep.allCases.map { Workload(shorter.steps + [$0]) }
            }
            found += longest
        }
        return found
    }
}
