// bench list: the profiles that can be run, and what each of them does.

import ArgumentParser

struct BenchList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "What the profiles measure.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    private struct Profile: Encodable {
        let profile: String
        let rounds: Int
        let measuredMilliseconds: UInt64
        let atLeastSeconds: Double
        let loads: [String]

        init(_ profile: BenchProfile) {
            self.profile = profile.rawValue
            rounds = profile.rounds
            measuredMilliseconds = profile.measuredMicroseconds / 1000
            atLeastSeconds = Double(profile.leastMicroseconds) / 1e6
            loads = profile.loads.map { load in
                switch load.kind {
                case .blocks: "put and get, \(load)"
                case .exists: "exists, \(load)"
                }
            }
        }
    }

    func run() throws {
        let profiles = BenchProfile.allCases.map(Profile.init)
        if global.json || root.global.json { return try Terminal.json(["profiles": profiles]) }
        for profile in profiles {
            Terminal.print(
                "\(profile.profile): \(profile.rounds) rounds of \(profile.measuredMilliseconds) "
                    + "ms for each operation, \(BenchTable.digits(profile.atLeastSeconds)) s at "
                    + "least")
            for load in profile.loads { Terminal.print("    \(load)") }
        }
    }
}
