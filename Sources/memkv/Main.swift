// memkv: the command line of MemKV. Parses, runs one command, and ends with a documented exit code.

import ArgumentParser
import Glibc
import Wire

/// Exit codes; the same for every command.
enum ExitStatus: Int32 {
    case done = 0
    /// Not found, or a difference.
    case difference = 1
    /// Wrong usage, or a file of the user's that can't be read or written.
    case usage = 2
    /// Server unreachable, or the deadline passed.
    case unreachable = 3
    /// Refused: limits, no space, shutting down, drive unavailable.
    case refused = 4
    case damaged = 5
}

@main
struct Main {
    static func main() async {
        LocalFiles.openStandardStreams()
        do {
            var command = try Memkv.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            if !failure.message.isEmpty { Terminal.complain(failure.message) }
            exit(failure.status.rawValue)
        } catch {
            let text = Memkv.fullMessage(for: error)
            guard Memkv.exitCode(for: error).isSuccess else {
                Terminal.standardError(text)
                exit(ExitStatus.usage.rawValue)
            }
            Terminal.print(text)
        }
    }
}

/// The root: no work of its own.
struct Memkv: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memkv",
        abstract: "Stores, fetches and looks after the blocks of a MemKV server.",
        discussion: """
            The servers are --server, else the environment's MEMKV_SERVERS (HOST:PORT, several \
            with commas), else those of the file that MEMKV_CONFIG names, else 127.0.0.1:9900. \
            Several share the keys between them.
            KEY is 64 hex digits, or any text, which is hashed.
            Exit codes: 0 done, 1 not found or a difference, 2 wrong usage or an unusable file, \
            3 server unreachable or deadline passed, 4 refused, 5 damaged data.
            """,
        version: ProductVersion.current,
        subcommands: [
            Setup.self, Put.self, Get.self, Exists.self, Stat.self, Delete.self, Import.self,
            Export.self, Admin.self, Drive.self, Bench.self, HistoryCommand.self,
            SimulationCommand.self,
        ])

    @OptionGroup var global: GlobalOptions
}
