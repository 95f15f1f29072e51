// The section network.limits: every key arrives, defaults follow what is given, contradictions are
// refused with their line.

import Engine
import Schema
import Testing

@testable import Settings

private func settings(_ lines: [String]) throws(ConfigurationError) -> ServerSettings {
    let invocation = try ServerInvocation(
        listenFlag: nil, dataFlag: "/x", configFlag: nil, environment: [:])
    return try ServerSettings(
        invocation: invocation,
        document: ServerDocument(text: lines.joined(separator: "\n"), file: "memkvd.yaml"))
}

private func limits(_ entries: String...) throws(ConfigurationError) -> SessionLimits {
    try settings(["network:", "  limits:"] + entries.map { "    " + $0 }).limits
}

private func refusal(_ entries: String...) -> String? {
    do throws(ConfigurationError) {
        _ = try settings(["network:", "  limits:"] + entries.map { "    " + $0 })
        return nil
    } catch {
        return error.description
    }
}

@Suite struct LimitsDocumentTests {
    @Test func everyKeyArrives() throws {
        let read = try limits(
            "sessions: 5000", "sessions_per_address: 4000", "requests: 600",
            "requests_per_session: 20", "bytes_per_session: 40 MiB", "payload_size: 4 MiB",
            "batch_items: 100", "half_open_deadline: 1 s", "header_deadline: 200 ms",
            "frame_deadline: 2 min", "response_deadline: 1 h")
        #expect(read.sessions == 5000)
        #expect(read.sessionsPerAddress == 4000)
        #expect(read.requests == 600)
        #expect(read.requestsPerSession == 20)
        #expect(read.bytesPerSession == 40 << 20)
        #expect(read.payloadLimitBytes == 4 << 20)
        #expect(read.batchLimit == 100)
        #expect(read.halfOpenMicroseconds == 1_000_000)
        #expect(read.headerMicroseconds == 200_000)
        #expect(read.frameMicroseconds == 120_000_000)
        #expect(read.responseMicroseconds == 3_600_000_000)
    }

    @Test func whatIsNotGivenFollowsWhatIs() throws {
        let standard = try settings([]).limits
        #expect(standard == SessionLimits())
        #expect(try limits("sessions: 10").sessionsPerAddress == 10)
        #expect(try limits("requests: 10").requestsPerSession == 10)
        let small = ["memory: { max_size: 64 MiB }"]
        #expect(try settings(small).limits.bytesPerSession == 16 << 20)
        let least = ["memory: { max_size: 32 MiB }"]
        #expect(try settings(least).limits.bytesPerSession == 16 << 20)
    }

    @Test func theEngineKeepsTheLimitsOfFrames() throws {
        let read = try settings([
            "network: { limits: { payload_size: 1 MiB, batch_items: 7 } }"
        ])
        #expect(read.engine.valueLimitBytes == 1 << 20)
        #expect(read.engine.batchLimit == 7)
    }

    @Test(
        arguments: [
            ("sessions: 0", "\"0\" is not a whole number from 1 to 30000"),
            ("batch_items: 257", "\"257\" is not a whole number from 1 to 256"),
            ("half_open_deadline: 10", "\"10\" is not a length of time; write a whole number and"),
            ("header_deadline: 10 ms", "10 ms must lie between 100 ms and 1 h"),
            ("frame_deadline: 2 h", "2 h must lie between 100 ms and 1 h"),
            ("payload_size: 32 MiB", "32 MiB must lie between 64 KiB and 16 MiB"),
            ("bytes_per_session: 15 MiB", "15 MiB is less than the slabs of one payload"),
            ("bytes_per_session: 1 GiB", "1 GiB is more than memory.max_size, 256 MiB"),
            (
                "sessions_per_address: 2000",
                "2000 of one address are more than the 1024 sessions of all"
            ),
            (
                "requests_per_session: 600",
                "600 of one session are more than the 512 requests of all"
            ),
            ("session: 5", "unknown key; did you mean network.limits.sessions?"),
        ] as [(String, String)])
    func aWrongLimitIsRefusedWithItsLine(entry: String, problem: String) throws {
        let name = entry.prefix { $0 != ":" }
        let message = try #require(refusal(entry))
        #expect(message.hasPrefix("memkvd.yaml:3: network.limits.\(name): "), "\(message)")
        #expect(message.contains(problem), "\(message)")
    }

    @Test(
        arguments: [
            ("10 s", 10_000_000), ("10s", 10_000_000), ("1500 ms", 1_500_000),
            ("2 min", 120_000_000),
            ("1 h", 3_600_000_000), ("0 s", 0),
        ] as [(String, UInt64)])
    func aLengthOfTimeIsReadExactly(text: String, microseconds: UInt64) {
        #expect(TimeSpan.parse(text) == microseconds)
    }

    @Test(arguments: ["", "10", "s", "1.5 s", "-1 s", "10  s", "10 sec", "10 S", "1 d"])
    func whatIsNoLengthOfTimeIsRefused(text: String) { #expect(TimeSpan.parse(text) == nil) }

    @Test func aLengthOfTimeIsWrittenInTheLargestUnitThatFits() {
        #expect(TimeSpan.format(microseconds: 10_000_000) == "10 s")
        #expect(TimeSpan.format(microseconds: 1_500_000) == "1500 ms")
        #expect(TimeSpan.format(microseconds: 3_600_000_000) == "1 h")
    }
}
