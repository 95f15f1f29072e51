// Numbers of a scenario as people write them: one value or a range {from, to}, with a unit where it
// has one.
//
// Refuses, with file and line: a unit that is missing, a number outside its range, a range whose
// end lies before its beginning.

internal import Schema
private import Settings
internal import Simulation

/// What a number counts.
enum ScenarioUnit {
    case count, bytes, time, percent

    func parse(_ text: String) -> UInt64? {
        switch self {
        case .count: return UInt64(text)
        case .percent: return text.hasSuffix("%") ? UInt64(text.dropLast()) : nil
        case .time: return TimeSpan.parse(text)
        case .bytes:
            // A size without a unit is no size: nobody remembers which one it would be.
            guard text.last.map({ !$0.isNumber }) ?? false else { return nil }
            return ByteSize(parsing: text)?.bytes
        }
    }

    var lesson: String {
        switch self {
        case .count: "write a whole number, such as 4"
        case .percent: "write a whole number and %, such as 5%"
        case .time: "write a whole number and us, ms, s, min or h, such as 10s"
        case .bytes: "write a whole number and B, KiB, MiB or GiB, such as 4KiB"
        }
    }

    func write(_ number: UInt64) -> String {
        switch self {
        case .count: "\(number)"
        case .percent: "\(number)%"
        case .time: TimeSpan.format(microseconds: number)
        case .bytes: ByteSize(bytes: number).exact
        }
    }
}

extension DocumentSection {
    private static let rangeSchema = SectionSchema(keys: ["from", "to"])

    /// The value or range under `key`; nil when it isn't there.
    func drawn(
        _ key: String, _ unit: ScenarioUnit, in range: ClosedRange<UInt64>
    ) throws(ConfigurationError) -> Drawn? {
        guard isSection(key) else { return try fixed(key, unit, in: range).map { Drawn($0) } }
        guard let section = try section(key, schema: Self.rangeSchema) else { return nil }
        guard let from = try section.fixed("from", unit, in: range) else {
            throw section.missing("from", "a range has from and to")
        }
        guard let to = try section.fixed("to", unit, in: range) else {
            throw section.missing("to", "a range has from and to")
        }
        guard from <= to else {
            throw section.missing(
                "to", "\(unit.write(to)) lies before from, \(unit.write(from)); exchange them")
        }
        return Drawn(from: from, to: to)
    }

    /// The single value under `key`.
    func fixed(
        _ key: String, _ unit: ScenarioUnit, in range: ClosedRange<UInt64>
    ) throws(ConfigurationError) -> UInt64? {
        guard let text = try text(key) else { return nil }
        guard let number = unit.parse(text.value) else {
            throw text.refused("\"\(text.value)\" is not understood; \(unit.lesson)")
        }
        guard range.contains(number) else {
            throw text.refused(
                "\(text.value) must lie between \(unit.write(range.lowerBound)) and "
                    + unit.write(range.upperBound))
        }
        return number
    }

    /// Sets `target` when `key` is there.
    func set(
        _ target: inout Drawn, _ key: String, _ unit: ScenarioUnit,
        in range: ClosedRange<UInt64>
    ) throws(ConfigurationError) {
        if let drawn = try drawn(key, unit, in: range) { target = drawn }
    }

    func set(
        _ target: inout UInt64, _ key: String, _ unit: ScenarioUnit,
        in range: ClosedRange<UInt64>
    ) throws(ConfigurationError) {
        if let number = try fixed(key, unit, in: range) { target = number }
    }
}
