// bench: how fast a server is, and what that costs it: the command and its options.

import ArgumentParser
import Client
import Foundation
import Wire

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a server.", subcommands: [BenchRunCommand.self])
}

extension BenchStore: ExpressibleByArgument {}

struct BenchRunCommand: MemkvCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Measure puts, gets and lookups, and what they cost.",
        discussion: """
            With a server (--server, MEMKV_SERVERS or MEMKV_CONFIG) it measures that one: it \
            stores blocks of its own in the namespace 1651861091 (or --namespace) and deletes \
            them. Without, it starts the memkvd beside it on a temporary store. \
            Profiles: smoke (seconds, to see that it works), quick (under a minute), standard \
            (minutes). What a figure means: Docs/benchmark.md.
            """)

    @Option(help: "smoke, quick or standard.") var profile = BenchProfile.quick

    @Option(
        help: ArgumentHelp(
            "Of its own server: file (durable, the default) or memory.", valueName: "file|memory"))
    var store: BenchStore?

    @Option(
        help: ArgumentHelp(
            "Where its own server's temporary store goes. (default: the system's place)",
            valueName: "dir"))
    var directory: String?

    @Option(help: ArgumentHelp("The memkvd to start. (default: the one beside)", valueName: "file"))
    var memkvd: String?

    @Option(help: ArgumentHelp("Also write the result there, as JSON.", valueName: "file"))
    var output: String?

    @Option(help: "Of keys and values; the same seed, the same keys. (default: drawn)")
    var seed: UInt64?

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    /// "benc" as a number: far from what people count from.
    private static let namespace = Namespace(0x6265_6E63)

    func validate() throws {
        if store == .memory, directory != nil {
            throw ValidationError("a store in memory has no --directory")
        }
    }

    func run(_ settings: Settings) throws {
        let ownOptions = store != nil || directory != nil || memkvd != nil
        guard settings.serversAreDefault || !ownOptions else {
            throw CommandFailure(
                .usage,
                "--store, --directory and --memkvd are for a server of the run's own, and one "
                    + "that runs is named; give one or the other")
        }
        let report: BenchReport
        if settings.serversAreDefault {
            let server = try BenchServer.start(
                BenchServer.Plan(
                    program: memkvd, store: store ?? .file, directory: directory,
                    driveBytes: profile.storeBytes))
            defer { server.stop() }
            report = try measure([server.address], child: server.processID, settings)
        } else {
            report = try measure(settings.servers, child: nil, settings)
        }
        try show(report, json: settings.json)
    }

    private func measure(
        _ servers: [ServerAddress], child: Int32?, _ settings: Settings
    ) throws(CommandFailure) -> BenchReport {
        let seed = self.seed ?? .random(in: 0 ... .max)
        let observed = ObservedServers(servers, child: child, deadline: settings.deadline)
        var report = BenchReport(
            profile: profile, seed: seed, servers: servers, startedByBench: child != nil, observed)
        let namespace = global.namespace ?? root.global.namespace
        let line = ProgressLine(isVisible: !settings.json)
        defer { line.clear() }
        let run = BenchRun(
            profile,
            blocks: BenchBlocks(
                seed: seed, namespace: namespace.map(Namespace.init) ?? Self.namespace),
            settings: settings, servers: servers, observed: observed,
            progress: { line.show($0) })
        try run.run(into: &report)
        report.end()
        return report
    }

    private func show(_ report: BenchReport, json: Bool) throws {
        let data = try report.json()
        if let output {
            do {
                try data.write(to: URL(fileURLWithPath: output), options: .atomic)
            } catch {
                throw CommandFailure(
                    .usage, "\(output) can't be written: \(error.localizedDescription)")
            }
        }
        print(
            json ? String(decoding: data, as: UTF8.self) : BenchTable.text(of: report),
            terminator: json ? "" : "\n")
    }
}

/// What is being done, in one line of a terminal's stderr.
struct ProgressLine {
    private let isVisible: Bool

    init(isVisible: Bool) { self.isVisible = isVisible && isatty(STDERR_FILENO) == 1 }

    func show(_ text: String) { write("\r\(text)\u{1B}[K") }
    func clear() { write("\r\u{1B}[K") }

    private func write(_ text: String) {
        if isVisible { FileHandle.standardError.write(Data(text.utf8)) }
    }
}
