// Which processor a shard gets, and how a list of processors reads.

import Testing

@testable import memkvd

@Suite struct ProcessorTests {
    @Test(
        arguments: [
            ("0-3", [0, 1, 2, 3]), ("\t0-1,8", [0, 1, 8]), ("5", [5]), ("", []), ("3-1", []),
            ("x,2", [2]),
        ] as [(String, [Int])])
    func aListOfProcessorsIsRead(text: String, processors: [Int]) {
        #expect(Processors.list(text) == processors)
    }

    @Test func neighbouringShardsGetDifferentProcessorsWhileThereAreAny() throws {
        let first = try #require(Processors.forShard(0))
        let processors = (0..<1024).compactMap { Processors.forShard($0) }
        let distinct = Set(processors).count
        #expect(processors.count == 1024)
        #expect(Set(processors.prefix(distinct)).count == distinct)
        #expect(processors[distinct] == first)
    }
}
