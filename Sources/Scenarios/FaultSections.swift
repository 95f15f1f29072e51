// FaultSections: the faults of a scenario: a name of the catalogue and what that fault can be told.

internal import Schema
internal import Simulation

enum FaultSections {
    private static let common = ["kind", "at", "times"]

    /// The keys of a fault whose kind isn't known yet: those of all.
    private static let all: SectionSchema = {
        var keys = common + ["for", "drive", "client"]
        for name in FaultName.allCases {
            let shape = name.shape
            for key in [shape.amount?.key, shape.choiceKey] {
                if let key, !keys.contains(key) { keys.append(key) }
            }
        }
        return SectionSchema(keys: keys)
    }()

    static func read(_ document: DocumentSection) throws(ConfigurationError) -> [FaultPlan] {
        var plans: [FaultPlan] = []
        for section in try document.sections("faults", schema: all) ?? [] {
            plans.append(try read(fault: section))
        }
        return plans
    }

    private static func read(fault section: DocumentSection) throws(ConfigurationError)
        -> FaultPlan
    {
        let names = FaultName.allCases.map(\.rawValue)
        guard let kind = try section.word("kind", among: names),
            let name = FaultName(rawValue: kind.value)
        else { throw section.missing("kind", "one of " + names.joined(separator: ", ")) }
        let shape = name.shape
        try refuseForeignKeys(section, name, shape)
        var plan = FaultPlan(name)
        let times: ClosedRange<UInt64> = 0...86_400_000_000
        try section.set(&plan.atMicroseconds, "at", .time, in: times)
        try section.set(&plan.lastsMicroseconds, "for", .time, in: times)
        try section.set(&plan.times, "times", .count, in: 0...10_000)
        plan.drive = try section.fixed("drive", .count, in: 0...63)
        plan.client = try section.fixed("client", .count, in: 0...999)
        if let amount = shape.amount {
            try section.set(&plan.amount, amount.key, unit(amount.unit), in: amount.range)
        }
        if let key = shape.choiceKey, let choice = try section.word(key, among: shape.choices) {
            plan.choice = choice.value
        }
        return plan
    }

    private static func refuseForeignKeys(
        _ section: DocumentSection, _ name: FaultName, _ shape: FaultShape
    ) throws(ConfigurationError) {
        var known = common
        if shape.lasts { known.append("for") }
        if shape.strikesDrive { known.append("drive") }
        if shape.strikesClient { known.append("client") }
        for key in [shape.amount?.key, shape.choiceKey] {
            if let key { known.append(key) }
        }
        for key in all.keys where !known.contains(key) && section.has(key) {
            throw section.missing(
                key, "\(name.rawValue) can't use it; it knows " + known.joined(separator: ", "))
        }
    }

    static func unit(_ unit: FaultShape.Unit) -> ScenarioUnit {
        switch unit {
        case .count, .perMille: .count
        case .percent: .percent
        case .microseconds: .time
        case .bytes: .bytes
        }
    }
}
