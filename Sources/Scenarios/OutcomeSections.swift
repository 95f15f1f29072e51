// OutcomeSections: what must come of a scenario: minimum, bounds, what must be seen.

internal import Schema
internal import Simulation

enum OutcomeSections {
    static func read(
        _ document: DocumentSection, _ scenario: inout Scenario
    ) throws(ConfigurationError) {
        try readMinimum(document, &scenario.minimum)
        let bounds = SectionSchema(keys: [
            "misses_per_mille", "refusals_per_mille", "emptied_drives",
        ])
        if let section = try document.section("bounds", schema: bounds) {
            try section.set(
                &scenario.bounds.missesPerMille, "misses_per_mille", .count, in: 0...1000)
            try section.set(
                &scenario.bounds.refusalsPerMille, "refusals_per_mille", .count, in: 0...1000)
            scenario.bounds.emptiedDrives = try section.fixed(
                "emptied_drives", .count, in: 0...1_000_000)
        }
        let expected = SectionSchema(keys: [
            "health", "within", "healthy_again_within", "throughput_at_least", "p99_at_most",
            "others_throughput_at_least", "others_p99_at_most", "median_within", "p99_within",
            "damage_found_within", "remote_again_within",
        ])
        for section in try document.sections("expect", schema: expected) ?? [] {
            scenario.expectations.append(try read(expectation: section))
        }
        scenario.mustViolate = try document.text("must_violate")?.value
    }

    private static func readMinimum(
        _ document: DocumentSection, _ minimum: inout Minimum
    ) throws(ConfigurationError) {
        let schema = SectionSchema(keys: ["requests", "faults", "felt"])
        guard let section = try document.section("minimum", schema: schema) else {
            throw document.missing(
                "minimum", "say how many requests and faults a run must have, or it proves nothing")
        }
        try section.set(&minimum.requests, "requests", .count, in: 1...1_000_000_000)
        try section.set(&minimum.faults, "faults", .count, in: 0...1_000_000)
        let names = Felt.allCases.map(\.rawValue)
        guard let felt = try section.section("felt", schema: SectionSchema(keys: names)) else {
            return
        }
        for name in Felt.allCases {
            if let least = try felt.fixed(name.rawValue, .count, in: 1...1_000_000_000) {
                minimum.felt.append((name, least))
            }
        }
    }

    private static func read(
        expectation section: DocumentSection
    ) throws(ConfigurationError) -> Expectation {
        let time: ClosedRange<UInt64> = 0...86_400_000_000
        let names = ReportedHealthName.allCases.map(\.rawValue)
        if let health = try section.word("health", among: names),
            let name = ReportedHealthName(rawValue: health.value)
        {
            guard let within = try section.fixed("within", .time, in: time) else {
                throw section.missing("within", "say how soon after the first fault's beginning")
            }
            return .health(name, withinMicroseconds: within)
        }
        if let within = try section.fixed("healthy_again_within", .time, in: time) {
            return .recovery(withinMicroseconds: within)
        }
        if let percent = try section.fixed("throughput_at_least", .percent, in: 1...1000) {
            return .throughput(atLeastPercent: percent)
        }
        if let percent = try section.fixed("p99_at_most", .percent, in: 1...100_000) {
            return .latency(atMostPercent: percent)
        }
        if let percent = try section.fixed(
            "others_throughput_at_least", .percent, in: 1...1000)
        {
            return .othersThroughput(atLeastPercent: percent)
        }
        if let percent = try section.fixed("others_p99_at_most", .percent, in: 1...100_000) {
            return .othersLatency(atMostPercent: percent)
        }
        if let within = try section.fixed("median_within", .time, in: time) {
            return .median(withinMicroseconds: within)
        }
        if let within = try section.fixed("p99_within", .time, in: time) {
            return .tail(withinMicroseconds: within)
        }
        if let within = try section.fixed("damage_found_within", .time, in: time) {
            return .damageFound(withinMicroseconds: within)
        }
        if let within = try section.fixed("remote_again_within", .time, in: time) {
            return .remoteAgain(withinMicroseconds: within)
        }
        throw section.missing("health", "an expectation of nothing")
    }
}
