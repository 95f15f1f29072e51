// The arrow of imports and the house rules, read off the sources; and each rule shown to catch its
// own breach.

import Foundation
import Testing

@Suite struct ArchitectureTests {
    /// The package's root: three levels above this file.
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// Every Swift file under `folder`.
    private static func files(under folder: String) throws -> [SourceText] {
        let base = root.appending(path: folder).path
        let names = try FileManager.default.subpathsOfDirectory(atPath: base)
        return try names.filter { $0.hasSuffix(".swift") }.sorted().map { name in
            let text = try String(contentsOfFile: "\(base)/\(name)", encoding: .utf8)
            return SourceText(path: "\(folder)/\(name)", text: text)
        }
    }

    @Test func theSourcesKeepTheRules() throws {
        let files = try Self.files(under: "Sources")
        #expect(files.count > 20, "the sources weren't found")
        for violation in files.flatMap(Rules.violations) {
            Issue.record("\(violation)")
        }
        let paths = Set(files.map(\.path))
        for violation in Rules.staleExceptions(existing: paths) { Issue.record("\(violation)") }
    }

    @Test func everyExceptionHasAReason() {
        let reasons =
            Array(Rules.unsafeFiles.values) + Rules.extraImports.values.map(\.reason)
            + Array(Rules.longFunctions.values)
        #expect(reasons.allSatisfy { $0.count > 10 })
    }

    // MARK: Planted breaches

    /// What the rules say about a file with these lines behind an opening comment.
    private static func problems(_ path: String, _ lines: String...) -> [String] {
        let text = "// A planted file.\n" + lines.joined(separator: "\n") + "\n"
        return Rules.violations(in: SourceText(path: path, text: text)).map(\.description)
    }

    @Test(arguments: [
        ("Sources/Engine/A.swift", "import Foundation"),
        ("Sources/Engine/A.swift", "private import Synchronization"),
        ("Sources/Engine/A.swift", "package import IOUring"),
        ("Sources/Engine/A.swift", "import struct Logging.Logger"),
        ("Sources/Wire/A.swift", "import Engine"),
        ("Sources/Client/A.swift", "import Engine"),
        ("Sources/Backends/Sim/A.swift", "import IOUring"),
        ("Sources/Backends/IOUring/A.swift", "import Sim"),
        ("Sources/Admin/A.swift", "@testable import IOUring"),
        ("Sources/Settings/A.swift", "import Hummingbird"),
        ("Sources/Backends/Unheard/A.swift", "let a = 1"),
    ])
    func aForbiddenImportIsCaught(path: String, line: String) {
        let problems = Self.problems(path, line)
        #expect(!problems.isEmpty)
        #expect(problems.allSatisfy { $0.contains("import") || $0.contains("core") })
    }

    @Test(arguments: [
        "func f() async {}", "let t = Task { }", "actor Store {}", "let m = Mutex(0)",
        "let c = ContinuousClock()", "await f()",
    ])
    func concurrencyInTheCoreIsCaught(line: String) {
        #expect(Self.problems("Sources/Engine/A.swift", line).count == 1)
        #expect(Self.problems("Sources/Wire/A.swift", line).count == 1)
        #expect(Self.problems("Sources/memkvd/A.swift", line).isEmpty)
    }

    @Test(arguments: [
        "let a = unsafe b", "@unsafe func f() {}", "nonisolated(unsafe) var a = 1",
        "final class A: @unchecked Sendable {}",
    ])
    func unsafeCodeOutsideItsFilesIsCaught(line: String) {
        #expect(Self.problems("Sources/Client/A.swift", line).count == 1)
        #expect(Self.problems("Sources/Engine/Memory/Arena.swift", line).isEmpty)
    }

    @Test func anUnsafeFileThatIsSafeMustLeaveTheList() {
        let problems = Self.problems("Sources/Engine/Memory/Arena.swift", "let a = 1")
        #expect(problems.count == 1)
        #expect(Rules.staleExceptions(existing: []).count >= Rules.unsafeFiles.count)
    }

    @Test func whatNeedsTheRingOutsideItsTraitIsCaught() {
        func problems(_ path: String, _ lines: String...) -> [String] {
            Self.problems(path, lines.joined(separator: "\n")).filter { $0.contains("#if") }
        }
        #expect(problems("Sources/memkvd/A.swift", "internal import Ring").count == 1)
        #expect(problems("Sources/memkvd/A.swift", "import Ring", "#if IOUring").count == 1)
        #expect(problems("Sources/memkvd/A.swift", "#if IOUring", "import Ring").isEmpty)
        #expect(problems("Sources/memkvd/A.swift", "import Engine").isEmpty)
        #expect(problems("Sources/Ring/A.swift", "struct A {}").count == 1)
        #expect(problems("Sources/Ring/A.swift", "#if IOUring", "struct A {}").isEmpty)
    }

    @Test func wordsInCommentsAndTextsAreNoCode() {
        let problems = Self.problems(
            "Sources/Engine/A.swift",
            "// import Foundation, async, unsafe", "/* actor /* Task */ await */",
            "let a = \"unsafe \\\" async\"", "let b = #\"a \" await\"#", "let c = \"\"\"",
            "    actor \"quoted\" Task", "    \"\"\"", "let unsafely = 1, taskTask = 2")
        #expect(problems.isEmpty, "\(problems)")
        #expect(
            Self.problems("Sources/Engine/A.swift", "let a = \"\"; await f()").count == 1)
    }

    @Test func aLongLineIsCaught() {
        let line = "// " + String(repeating: "x", count: 97)
        #expect(Self.problems("Sources/Wire/A.swift", line).isEmpty)
        #expect(Self.problems("Sources/Wire/A.swift", line + "x").count == 1)
    }

    @Test func aLongFunctionIsCaught() {
        func function(_ opening: String, lines: Int) -> String {
            opening + " {\n" + String(repeating: "    a += { 1 }()\n", count: lines - 2) + "}"
        }
        for opening in [
            "func f(_ g: () -> Int = { 1 }) -> Int", "init()", "func f()\n    throws -> Int",
        ] {
            let extra = opening.count { $0 == "\n" }
            let fitting = function(opening, lines: 70 - extra)
            let long = function(opening, lines: 71 - extra)
            #expect(Self.problems("Sources/Wire/A.swift", fitting).isEmpty, "\(opening)")
            #expect(Self.problems("Sources/Wire/A.swift", long).count == 1, "\(opening)")
        }
        let requirement =
            "protocol P {\n    func f() -> Int\n    init()\n}\nenum E {\n"
            + String(repeating: "    static let a = Self.init(1)\n", count: 100) + "}"
        #expect(Self.problems("Sources/Wire/A.swift", requirement).isEmpty)
    }

    @Test func unfinishedWorkIsCaught() {
        #expect(Self.problems("Sources/Wire/A.swift", "// TO" + "DO: later").count == 1)
        #expect(Self.problems("Sources/Wire/A.swift", "// FIX" + "ME").count == 1)
    }

    @Test func aFileThatDoesNotSayWhatItIsIsCaught() {
        let file = SourceText(path: "Sources/Wire/A.swift", text: "let a = 1\n")
        #expect(Rules.violations(in: file).count == 1)
    }
}
