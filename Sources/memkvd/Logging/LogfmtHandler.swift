// LogfmtHandler: the log as lines of key=value on standard error, one write to a line.
//
// Always holds: time, level and msg come first, then the other fields by name, so that two lines of
// one kind look alike; a value with spaces, quotes or line breaks is quoted, so that an event is
// always one line.

internal import Logging

/// A log handler for swift-log.
struct LogfmtHandler: LogHandler {
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]

    init(logLevel: Logger.Level) { self.logLevel = logLevel }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let fields = metadata.merging(event.metadata ?? [:]) { _, later in later }
        let line = Self.line(
            time: Self.timestamp(milliseconds: SystemCalls.wallClockMilliseconds()),
            level: "\(event.level)", message: "\(event.message)",
            fields: fields.map { ($0.key, "\($0.value)") })
        SystemCalls.write(line, to: SystemCalls.standardError)
    }

    /// One event as a line with its line break.
    static func line(
        time: String, level: String, message: String, fields: [(key: String, value: String)]
    ) -> String {
        let sorted = fields.sorted { $0.key < $1.key }
        let pairs =
            [("time", time), ("level", level), ("msg", message)]
            + sorted.map { ($0.key, $0.value) }
        return pairs.map { "\($0.0)=\(quoted($0.1))" }.joined(separator: " ") + "\n"
    }

    private static func quoted(_ value: String) -> String {
        let isPlain = value.unicodeScalars.allSatisfy {
            $0.value > 0x20 && $0 != "\"" && $0 != "=" && $0 != "\\" && $0.value != 0x7F
        }
        if isPlain, !value.isEmpty { return value }
        var quoted = "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: quoted += " "
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }

    /// `2026-11-22T12:13:07.042Z` for milliseconds since 1970 began.
    static func timestamp(milliseconds: Int64) -> String {
        let days = milliseconds / 86_400_000
        let rest = milliseconds % 86_400_000
        let (year, month, day) = date(daysSince1970: days)
        func padded(_ number: Int64, _ width: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return "\(year)-\(padded(month, 2))-\(padded(day, 2))T\(padded(rest / 3_600_000, 2))"
            + ":\(padded(rest / 60_000 % 60, 2)):\(padded(rest / 1000 % 60, 2))"
            + ".\(padded(rest % 1000, 3))Z"
    }

    /// The Gregorian date of a day from 1970 on. Years are counted from March, so that the leap day
    /// is the last one (Hinnant, "chrono-compatible low-level date algorithms").
    private static func date(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
