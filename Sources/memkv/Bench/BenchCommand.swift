// bench: how fast a server is, and what that costs it: the command and its options.

import ArgumentParser
import Client
import Foundation
import History
import Wire

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a server.", subcommands: [BenchRunCommand.self, BenchList.self])
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
            Profiles: smoke (seconds, to see that it works), quick (about a minute), standard \
            (minutes); `memkv bench list` says what they do. The run is recorded, see \
            `memkv history`. What a figure means: Docs/benchmark.md.
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

    @Option(
        help: ArgumentHelp(
            "Another memkvd, to be measured in turns with the first and compared with it: the "
                + "first is compared against this one.", valueName: "file"))
    var against: String?

    @Option(help: ArgumentHelp("Also write the result there, as JSON.", valueName: "file"))
    var output: String?

    @Option(help: "Of keys and values; the same seed, the same keys. (default: drawn)")
    var seed: UInt64?

    @Flag(help: "Leave no record of the run.") var noRecord = false

    @OptionGroup var history: HistoryOptions
    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv

    /// "benc" as a number: far from what people count from.
    private static let namespace = Namespace(0x6265_6E63)

    func validate() throws {
        if store == .memory, directory != nil {
            throw ValidationError("a store in memory has no --directory")
        }
        if noRecord, history.db != nil {
            throw ValidationError("--db is where to record, and --no-record says not to")
        }
    }

    func run(_ settings: Settings) throws {
        let isOwn = store != nil || directory != nil || memkvd != nil || against != nil
        guard settings.serversAreDefault || !isOwn else {
            throw CommandFailure(
                .usage,
                "--store, --directory, --memkvd and --against are for servers of the run's own, "
                    + "and one that runs is named; give one or the other")
        }
        // Opened first: nobody wants to measure for minutes and then find that it can't be kept.
        let file = try output.map { path throws(CommandFailure) in try OutputFile(path: path) }
        let records = noRecord ? nil : try history.openForWriting()
        var result = try measure(settings)
        result.databaseOption = history.repeated
        try BenchRecord.finish(&result, in: records)
        try show(result, json: settings.json, file)
    }

    private func measure(_ settings: Settings) throws(CommandFailure) -> BenchResult {
        guard settings.serversAreDefault else {
            let running = BenchSubject(
                settings.servers, child: nil, access: settings.adminAccess,
                deadline: settings.deadline)
            return try measure([running], programs: [nil], settings)
        }
        // The one to compare with first: it is what the other is held against.
        let beside = MachineFacts.programFolder.appendingPathComponent("memkvd").path
        let programs = (against.map { [$0] } ?? []) + [memkvd ?? beside]
        var servers: [BenchServer] = []
        defer { for server in servers { server.stop() } }
        for program in programs {
            servers.append(
                try BenchServer.start(
                    BenchServer.Plan(
                        program: program, store: store ?? .file, directory: directory,
                        driveBytes: profile.storeBytes, key: settings.key)))
        }
        let subjects = servers.map {
            BenchSubject(
                [$0.address], child: $0.processID, access: .plain, deadline: settings.deadline)
        }
        return try measure(subjects, programs: programs, settings)
    }

    private func measure(
        _ subjects: [BenchSubject], programs: [String?], _ settings: Settings
    ) throws(CommandFailure) -> BenchResult {
        let seed = self.seed ?? .random(in: 0 ... .max)
        let namespace = global.namespace ?? root.global.namespace
        let line = ProgressLine(isVisible: !settings.json)
        defer { line.clear() }
        let run = BenchRun(
            profile,
            blocks: BenchBlocks(
                seed: seed, namespace: namespace.map(Namespace.init) ?? Self.namespace),
            settings: settings, progress: { line.show($0) })
        let processes = subjects.flatMap(\.observed.processes)
        let own = ProcessInfo.processInfo.processIdentifier
        var subjects = subjects
        let begin = BenchMoment(servers: processes, client: own)
        let skipped = try run.run(on: &subjects)
        let end = BenchMoment(servers: processes, client: own)
        let place = settings.serversAreDefault ? BenchPlace(store ?? .file, in: directory) : nil
        return BenchResult(
            profile: profile, seed: seed, place: place,
            nanoseconds: end.nanoseconds(since: begin),
            reports: zip(subjects, programs).map { subject, program in
                BenchReport(
                    profile: profile, seed: seed, subject: subject, memkvd: program,
                    skipped: skipped, begin, end)
            })
    }

    private func show(_ result: BenchResult, json: Bool, _ file: OutputFile?) throws {
        let data = try result.reports.reduce(into: Data()) { $0 += try $1.json() }
        if let file {
            try file.write(OwnedBytes(Array(data)).source, at: 0)
            try file.finish()
        }
        Terminal.print(
            json ? String(decoding: data, as: UTF8.self) : BenchTable.text(of: result),
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
