// Every planted bug is found, each by its own assertion; a trap is no finding, so each hunt has its
// process.

#if PLANTED_BUGS
import CrashEnumeration
import Engine
import Glibc
import Judgement
import Testing

@Suite struct HuntTests {
    @Test func noTwoBugsAreFoundByTheSameAssertion() {
        let assertions = Hunt.all.map(\.assertion)
        #expect(assertions.count == Set(assertions).count)
        // The others are found by the tests of drive states and in the simulated world.
        let wanted = PlantedBug.ofCrashes
        #expect(wanted.allSatisfy { bug in Hunt.all.contains { $0.bug == bug } })
    }

    @Test(arguments: Hunt.all.indices)
    func theBugIsFoundByItsAssertion(hunt: Int) async {
        let expected = Int32(
            40 + (Assertion.allCases.firstIndex(of: Hunt.all[hunt].assertion) ?? 0))
        print("hunt for \(Hunt.all[hunt].bug), seed 1, by \(Hunt.all[hunt].assertion.rawValue)")
        await #expect(processExitsWith: .exitCode(expected)) { [hunt] in
            guard let found = Hunt.all[hunt].run(seed: 1) else { exit(1) }
            print("found \(found.violation): \(found.circumstances)")
            exit(
                Int32(
                    40 + (Assertion.allCases.firstIndex(of: found.violation.assertion) ?? 0)))
        }
    }
}
#endif
