// Verdict: what an interval says in plain words.
//
// Always holds: slower and faster are said only of an interval that lies wholly on that side, by
// more than what two builds of one source differ by (code and memory lie elsewhere: Mytkowicz et
// al., ASPLOS 2009); no difference only of one that is narrow. Everything else is too noisy to say.

/// How much slower the second side is: 1.1 takes a tenth more time, or does a tenth less of the
/// work (1 / 1.1) in the same time.
package struct Slowdown: Hashable, Sendable, Codable {
    package let estimate: Double
    /// The bootstrap interval.
    package let low: Double
    package let high: Double

    package init(estimate: Double, low: Double, high: Double) {
        self.estimate = estimate
        self.low = low
        self.high = high
    }
}

package enum Verdict: String, Hashable, Sendable, Codable, CustomStringConvertible {
    case faster, slower
    case noDifference = "no difference"
    case tooNoisy = "too noisy to say"

    /// What is no difference that anybody should act upon.
    package static let indifferentFactor = 1.03
    /// How far a difference of nothing may be from 1.
    package static let narrowFactor = 1.05

    package init(_ slowdown: Slowdown) {
        if slowdown.low > Self.indifferentFactor {
            self = .slower
        } else if slowdown.high < 1 / Self.indifferentFactor {
            self = .faster
        } else if slowdown.low > 1 / Self.narrowFactor, slowdown.high < Self.narrowFactor {
            self = .noDifference
        } else {
            self = .tooNoisy
        }
    }

    package var description: String { rawValue }
}
