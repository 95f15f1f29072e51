// memkvd's entry: flags and environment in, an exit code out. Everything else is the daemon's.

internal import ArgumentParser
internal import Glibc
internal import Logging
internal import Schema
internal import Settings
internal import Wire

/// The flags.
struct Flags: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memkvd",
        abstract: "Serves a store of KV-cache blocks.",
        discussion: """
            With --data alone it makes a store in that directory when there is none and serves \
            it on 127.0.0.1:9900, the admin endpoint one port higher. Flags win over the \
            environment (MEMKVD_CONFIG, MEMKVD_DATA, MEMKVD_LISTEN), the environment over the \
            file. SIGTERM or Ctrl-C stops it cleanly; SIGHUP reads the keys anew.
            """,
        version: ProductVersion.current)

    @Option(help: ArgumentHelp("Configuration file (YAML).", valueName: "file"))
    var config: String?

    @Option(
        help: ArgumentHelp(
            "Directory of a store in one file, made when it isn't there.", valueName: "dir"))
    var data: String?

    @Option(
        help: ArgumentHelp(
            "Where to take data connections (default: 127.0.0.1:9900); an address that others "
                + "can reach needs a key in the file, or MEMKV_AUTH_KEY.",
            valueName: "host:port"))
    var listen: String?

    @Option(
        help: ArgumentHelp(
            "Least level to log: debug, info, notice, warning or error (default: info).",
            valueName: "level"),
        transform: Self.level)
    var logLevel = Logger.Level.info

    private static func level(_ name: String) throws -> Logger.Level {
        guard let level = Logger.Level(rawValue: name) else {
            throw ValidationError("\"\(name)\" is not a level of the log")
        }
        return level
    }
}

#if IOUring

@main
struct Main {
    /// Longest configuration file that is read.
    private static let configurationLimitBytes = 1 << 20

    /// Synchronous, so that the stop signals are blocked before the first other thread exists: one
    /// that doesn't block them would be killed by them.
    static func main() {
        SystemCalls.openStandardStreams()
        let started = ContinuousClock.now
        let control = DaemonControl()
        DaemonSignal.watch { signal in
            switch signal {
            case .stop(let name): control.stop(reason: name)
            case .reload: control.reload()
            }
        }
        // Detached: a task of the main actor would wait for this thread.
        Task.detached { await run(control: control, started: started) }
        Threads.waitForever()
    }

    private static func run(control: DaemonControl, started: ContinuousClock.Instant) async {
        do {
            let flags = try Flags.parse()
            let logger = Logger(label: "memkvd") { _ in LogfmtHandler(logLevel: flags.logLevel) }
            let settings = try settings(for: flags)
            let daemon = try Daemon(settings: settings, logger: logger, started: started) {
                () throws(ConfigurationError) in try Self.settings(for: flags)
            }
            end(try await daemon.run(control: control))
        } catch let failure as StartFailure {
            end(failure.code, failure.message)
        } catch let refusal as ConfigurationError {
            end(.usage, refusal.description)
        } catch let error where Flags.exitCode(for: error).isSuccess {
            // --help and --version come as errors too.
            SystemCalls.write(
                Flags.fullMessage(for: error) + "\n", to: SystemCalls.standardOutput)
            end(.stopped)
        } catch {
            SystemCalls.write(Flags.fullMessage(for: error) + "\n", to: SystemCalls.standardError)
            end(.usage)
        }
    }

    private static func settings(
        for flags: Flags
    ) throws(ConfigurationError) -> ServerSettings {
        let invocation = try ServerInvocation(
            listenFlag: flags.listen, dataFlag: flags.data, configFlag: flags.config,
            environment: SystemCalls.environment(ServerInvocation.variableNames))
        guard let path = invocation.config else {
            return try ServerSettings(invocation: invocation, document: ServerDocument())
        }
        let text: String
        do throws(SystemFailure) {
            text = try SystemCalls.readText(path.value, limit: configurationLimitBytes)
        } catch {
            throw path.refused(error.description)
        }
        let document = try ServerDocument(text: text, file: path.value)
        return try ServerSettings(invocation: invocation, document: document)
    }

    private static func end(_ code: ExitCode, _ message: String? = nil) -> Never {
        if let message {
            SystemCalls.write("memkvd: \(message)\n", to: SystemCalls.standardError)
        }
        exit(code.rawValue)
    }
}

#else

@main
struct Main {
    static func main() {
        SystemCalls.write(
            "memkvd: this build can't serve: it has no io_uring, the package trait IOUring of "
                + "builds on Linux\n",
            to: SystemCalls.standardError)
        exit(ExitCode.failed.rawValue)
    }
}

#endif
