// drive check: every structure of drives that no server has open, and what a start would lose.

#if IOUring

import ArgumentParser
import Engine
import IOUring
import Settings

struct DriveCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check drives that no server has open. Writes nothing.",
        discussion: """
            Checks superblocks, both copies of the journal, every page of the index, and the \
            allocation map against the index; says what is damaged, what the next start would \
            make of it, and what would be lost. Ends with 5 when anything is damaged.
            """)

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: ArgumentHelp("Drives: block devices, or files.", valueName: "path"))
    var paths: [String]
    @Flag(help: "Read every value too and compare its checksum.") var payloads = false

    func run() throws {
        if let (path, other) = FileIdentity.firstPair(in: paths) {
            throw CommandFailure(.usage, "\(path) and \(other) are one drive; name it once")
        }
        let json = global.json || root.global.json
        var results: [DriveCheckResult] = []
        for path in paths {
            var result = check(path, showsProgress: !json && LocalFiles.errorsGoToATerminal)
            let original = results.first { $0.drive != nil && $0.drive == result.drive }
            result.copyOf = original?.path
            if !json { Terminal.print(result.text) }
            results.append(result)
        }
        if json { try Terminal.json(["drives": results]) }
        let statuses = Set(results.map(\.exitStatus))
        for status in [ExitStatus.damaged, .refused, .usage] where statuses.contains(status) {
            throw CommandFailure(status, "")
        }
    }

    private func check(_ path: String, showsProgress: Bool) -> DriveCheckResult {
        do throws(CommandFailure) {
            return DriveCheckResult(path: path, report: try report(path, showsProgress))
        } catch {
            return DriveCheckResult(path: path, failure: error)
        }
    }

    private func report(
        _ path: String, _ showsProgress: Bool
    ) throws(CommandFailure) -> DriveReport {
        let description = try DriveDescription(existing: path)
        let workbench: DriveWorkbench
        do throws(DriveFailure) {
            workbench = try DriveWorkbench(
                description, access: .readOnly,
                memory: DriveCheck<IOUringDevice>.memoryBytes)
        } catch {
            throw CommandFailure(path, error)
        }
        let drive = workbench.inspected
        let bar = ProgressBar(
            "check", totalBytes: payloads ? drive.usedBytes() ?? 0 : 0,
            visible: showsProgress && payloads)
        defer { bar.finish() }
        guard
            let report = DriveCheck.run(
                drive, verifiesValues: payloads, progress: { bar.advance(byBytes: $0) })
        else {
            let load = try DriveLoad(workbench, path: path)
            if load == .damagedStore { return DriveCheck<IOUringDevice>.bothSuperblocksDamaged() }
            throw CommandFailure(
                .refused, "there is no store to check on it: it carries \(load.sentence)")
        }
        return report
    }
}

#endif
