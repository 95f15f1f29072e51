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
    @ParentCommand var bench: Bench
    @OptionGroup var outer: GlobalOptions

    /// "benc" as a number: far from what people count from.
    private static let namespace = Namespace(0x6265_6E63)
}
