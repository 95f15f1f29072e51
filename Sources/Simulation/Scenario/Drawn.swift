// Drawn: a number that a scenario fixes, or a range out of which the seed picks.

package import Sim

/// A fixed number, or a range with both ends in it.
package struct Drawn: Hashable, Sendable {
    package let from: UInt64
    package let to: UInt64

    package init(_ fixed: UInt64) { self.init(from: fixed, to: fixed) }

    package init(from: UInt64, to: UInt64) {
        precondition(from <= to, "a range from \(from) to \(to)")
        self.from = from
        self.to = to
    }

    /// A number of the range. A fixed one costs no draw.
    package func draw(from random: inout RandomStream) -> UInt64 {
        from == to ? from : from + random.below(to - from + 1)
    }
}
