// PlantedBugSwitch: lets an end-to-end test switch one planted bug on, to prove that it would
// notice it, or make something go wrong that the server must notice by itself.
//
// Always holds: none of this is in a release build. Refuses a name that is no planted bug.

#if PLANTED_BUGS
internal import Engine

enum PlantedBugSwitch {
    private static let variable = "MEMKVD_PLANTED_BUG"

    private static let faultVariable = "MEMKVD_INJECTED_FAULT"

    /// The fault of the slab pool that the environment names; nil when it names none.
    static func slabFault() throws(StartFailure) -> SlabFault? {
        guard let name = SystemCalls.environment([faultVariable])[faultVariable] else { return nil }
        for fault in SlabFault.allCases where "\(fault)" == name { return fault }
        throw StartFailure(
            code: .usage,
            message: "\(faultVariable): \"\(name)\" is none of "
                + SlabFault.allCases.map { "\($0)" }.joined(separator: ", "))
    }

    /// The bug that the environment names; nil when it names none.
    static func chosen() throws(StartFailure) -> PlantedBug? {
        guard let name = SystemCalls.environment([variable])[variable] else { return nil }
        guard let bug = PlantedBug(rawValue: name) else {
            let known = PlantedBug.allCases.map(\.rawValue).joined(separator: ", ")
            throw StartFailure(
                code: .usage, message: "\(variable): \"\(name)\" is none of \(known)")
        }
        return bug
    }
}
#endif
