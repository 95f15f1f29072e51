// OutcomePlan: which resolutions of the unflushed sectors are tried at a crash point.
//
// Always holds: the list is a function of the sectors, the bounds and the seed, so that an index
// into it names a resolution. While there are few enough combinations it holds all of them;
// otherwise always: none landed, all landed, all garbage, each sector torn alone (both ways) and
// garbage alone, everything landed but the two copies of one thing (a hole with something behind
// it), and a seeded sample of the rest, some of it under the policy that mostly damages.

import Sim

enum OutcomePlan {
    /// Most sectors that get their own torn and garbage resolutions.
    private static let singleLimit = 24

    static func all(
        for sectors: [UnflushedSector], settings: CrashSettings, crash: UInt64
    ) -> [[SectorOutcome]] {
        if sectors.isEmpty { return [[]] }
        let choices: [[SectorOutcome]] = sectors.map { sector in
            (0..<sector.versions.count).map { .version($0) }
                + [.torn(newestFirst: true), .torn(newestFirst: false), .garbage]
        }
        if let combinations = product(choices, limit: settings.combinationLimit) {
            return combinations
        }
        var plan: [[SectorOutcome]] = []
        let landings: [[SectorOutcome]] = sectors.map { [.version(0), $0.newest] }
        if let subsets = product(landings, limit: settings.combinationLimit) {
            plan += subsets
        } else {
            plan.append(landings.map { $0[0] })
            plan.append(landings.map { $0[1] })
        }
        plan.append(sectors.map { _ in .garbage })
        plan += mirrorHoles(sectors)
        plan += singles(sectors)
        return plan + sample(sectors, count: settings.sampleLimit, seed: settings.seed, crash)
    }

    /// `count` resolutions by chance.
    static func sample(
        _ sectors: [UnflushedSector], count: Int, seed: UInt64, _ crash: UInt64
    ) -> [[SectorOutcome]] {
        var random = RandomStream(seed: seed, name: "outcome sample", incarnation: crash)
        return (0..<count).map { index in
            if index.isMultiple(of: 2) {
                var damage = CrashDamage(seed: seed, crash: crash << 8 | UInt64(index))
                return damage.outcomes(for: sectors)
            }
            return sectors.map { .version(Int(random.below(UInt64($0.versions.count)))) }
        }
    }

    /// Everything landed but sectors of equal content: both copies of what was written twice.
    static func mirrorHoles(_ sectors: [UnflushedSector]) -> [[SectorOutcome]] {
        var plan: [[SectorOutcome]] = []
        for (place, sector) in sectors.enumerated() {
            let content = sector.versions[sector.versions.count - 1]
            let twins = sectors.indices.filter {
                sectors[$0].versions[sectors[$0].versions.count - 1] == content
            }
            guard twins.count > 1, twins[0] == place, plan.count < singleLimit else { continue }
            var outcomes = sectors.map(\.newest)
            for twin in twins { outcomes[twin] = .version(0) }
            plan.append(outcomes)
        }
        return plan
    }

    /// Everything landed but one sector, which is torn or garbage.
    private static func singles(_ sectors: [UnflushedSector]) -> [[SectorOutcome]] {
        let landed = sectors.map(\.newest)
        let stride = (sectors.count + singleLimit - 1) / singleLimit
        var plan: [[SectorOutcome]] = []
        for place in Swift.stride(from: 0, to: sectors.count, by: stride) {
            let damages: [SectorOutcome] = [
                .torn(newestFirst: true), .torn(newestFirst: false), .garbage,
            ]
            for damage in damages {
                var outcomes = landed
                outcomes[place] = damage
                plan.append(outcomes)
            }
        }
        return plan
    }

    /// Every way to choose one of each; nil when there are more than `limit`.
    private static func product(
        _ choices: [[SectorOutcome]], limit: Int
    ) -> [[SectorOutcome]]? {
        var product: [[SectorOutcome]] = [[]]
        for options in choices {
            guard product.count * options.count <= limit else { return nil }
            product = product.flatMap { chosen in options.map { chosen + [$0] } }
        }
        return product
    }
}
