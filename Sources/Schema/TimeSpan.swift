// TimeSpan: lengths of time as people write them, "10 s", to microseconds and back.
//
// Refuses: a number without a unit (nobody remembers which one it would be), fractions, signs, and
// what overflows.

/// Lengths of time in text.
package enum TimeSpan {
    private static let units: [(name: String, microseconds: UInt64)] = [
        ("us", 1), ("ms", 1000), ("s", 1_000_000), ("min", 60_000_000), ("h", 3_600_000_000),
    ]

    /// The microseconds that `text` says: a whole number and, after an optional space, us, ms, s,
    /// min or h. Nil when it isn't one.
    package static func parse(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        var rest = text.dropFirst(digits.count)
        if rest.first == " " { rest = rest.dropFirst() }
        guard let number = UInt64(digits), let unit = units.first(where: { $0.name == rest })
        else { return nil }
        let (microseconds, overflowed) = number.multipliedReportingOverflow(by: unit.microseconds)
        return overflowed ? nil : microseconds
    }

    /// The shortest exact spelling: "10 s", "1500 ms".
    package static func format(microseconds: UInt64) -> String {
        let unit = units.last { microseconds != 0 && microseconds % $0.microseconds == 0 }
        return unit.map { "\(microseconds / $0.microseconds) \($0.name)" }
            ?? "\(microseconds) us"
    }
}
