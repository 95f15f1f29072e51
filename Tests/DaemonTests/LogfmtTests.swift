// The log's lines: the order of their fields, what is quoted, and the time.

import Testing

@testable import memkvd

@Suite struct LogfmtTests {
    @Test func theFieldsFollowTimeLevelAndMessageByName() {
        let line = LogfmtHandler.line(
            time: "T", level: "info", message: "ready",
            fields: [("shard", "0"), ("blocks", "12")])
        #expect(line == "time=T level=info msg=ready blocks=12 shard=0\n")
    }

    @Test(arguments: [
        ("two words", "\"two words\""), ("", "\"\""), ("a=b", "\"a=b\""),
        ("say \"x\"", "\"say \\\"x\\\"\""), ("back\\slash", "\"back\\\\slash\""),
        ("two\nlines", "\"two\\nlines\""), ("bell\u{7}", "\"bell \""), ("plain/é", "plain/é"),
    ])
    func whatWouldBreakALineIsQuoted(value: String, written: String) {
        let line = LogfmtHandler.line(
            time: "T", level: "info", message: value, fields: [])
        #expect(line == "time=T level=info msg=\(written)\n")
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_709_251_199_042, "2024-02-29T23:59:59.042Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] as [(Int64, String)])
    func theTimeIsTheCalendars(milliseconds: Int64, text: String) {
        #expect(LogfmtHandler.timestamp(milliseconds: milliseconds) == text)
    }
}
