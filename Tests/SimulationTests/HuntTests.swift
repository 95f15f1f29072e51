// Mistakes are hunted by scenarios and a judge that know of none.

#if PLANTED_BUGS
import Foundation
import ScenarioRuns
import Simulation
import Testing

@Suite struct HuntTests {
    private static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Every file of `folder`, by its path.
    private static func texts(in folder: String) throws -> [(path: String, text: String)] {
        let base = root.appendingPathComponent(folder).path
        let paths = try FileManager.default.subpathsOfDirectory(atPath: base).sorted()
        return try paths.filter { $0.hasSuffix(".yaml") || $0.hasSuffix(".swift") }.map {
            ("\(folder)/\($0)", try String(contentsOfFile: "\(base)/\($0)", encoding: .utf8))
        }
    }

    @Test(arguments: ["SimScenarios", "Sources/Judgement", "Sources/Simulation/Verdict"])
    func neitherScenarioNorJudgeNamesAMistake(folder: String) throws {
        let texts = try Self.texts(in: folder)
        #expect(!texts.isEmpty)
        for (path, text) in texts {
            for word in SimulatedRun.plantableMistakes + ["planted", "Planted", "PLANTED"] {
                #expect(!text.contains(word), "\(path) says \(word)")
            }
        }
    }

    @Test func noTwoMistakesHaveOneName() {
        let names = SimulatedRun.plantableMistakes
        #expect(names.count == Set(names).count)
        #expect(names.count >= 30)
        #expect(SimulatedRun.mistakesBeyondThisWorld.allSatisfy { names.contains($0) })
    }

    @Test func aMistakeIsCaughtAndSaysBySeedScenarioAndPromise() throws {
        let files = try ScenarioFiles.read([
            Self.root.appendingPathComponent("SimScenarios/faults/eviction.yaml").path
        ])
        let found = try #require(BugHunt.hunt("neverEvicts", in: files, seeds: 1..<4))
        #expect(found.seeds == found.seed)
        let read = try #require(Catch(line: found.line))
        #expect(read.line == found.line)
    }
}
#endif
