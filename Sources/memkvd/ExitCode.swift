// ExitCode: how memkvd ends, as Docs/configuration.md promises it to scripts and service managers.

/// The process's exit codes.
enum ExitCode: Int32, Sendable {
    /// Stopped as asked: drained, and every drive checkpointed.
    case stopped = 0
    /// Something failed that the configuration didn't cause.
    case failed = 1
    /// Wrong usage, or a configuration that was refused. Nothing was opened.
    case usage = 2
    /// A drive can't be served; nothing was written to it.
    case driveRefused = 3
    /// Another process listens on the data or the admin port.
    case addressInUse = 4
}

/// Why memkvd ends before it was asked to, with the sentence for the operator.
struct StartFailure: Error, Sendable {
    let code: ExitCode
    let message: String
}
