// BenchServer: a memkvd of the run's own, on loopback and a temporary store, from its start to its
// end.
//
// Always holds: the process that is stopped is the one that was started; its directory is removed
// with everything in it, also when a signal ends this program. kill -9 leaves both.

import Client
import Foundation
import Glibc
import Wire

/// Where a run's own server keeps its blocks.
enum BenchStore: String, CaseIterable {
    /// A file drive: acknowledged is durable.
    case file
    /// No drive at all: what the network and the engine cost.
    case memory
}

final class BenchServer {
    struct Plan {
        var program: String
        var store: BenchStore
        /// Of the temporary directory's parent; nil for the system's.
        var directory: String?
        var driveBytes: UInt64
        /// The key that it asks for; nil for none.
        var key: AuthenticationKey?
    }

    let address: ServerAddress
    private let process: Process
    private let directory: URL

    var processID: Int32 { process.processIdentifier }

    private static let attempts = 10
    private static let startSeconds = 60.0
    /// memkvd's exit code for a port that is taken.
    private static let addressInUse: Int32 = 4

    /// Starts one and waits until it serves.
    static func start(_ plan: Plan) throws(CommandFailure) -> BenchServer {
        let parent = plan.directory.map { URL(fileURLWithPath: $0) }
        let directory = (parent ?? FileManager.default.temporaryDirectory)
            .appendingPathComponent("memkv-bench-\(UUID().uuidString)")
        do {
            try FileManager.default.createDirectory(
                at: directory, withIntermediateDirectories: false)
        } catch {
            throw CommandFailure(.usage, "\(directory.path) can't be made: \(error)")
        }
        for _ in 0..<attempts {
            let port = UInt16.random(in: 20000..<32000)
            let server = try launch(plan, port: port, directory)
            if try server.becomesReady() { return server }
        }
        UnfinishedFiles.remove(directory.path)
        try? FileManager.default.removeItem(at: directory)
        throw CommandFailure(.unreachable, "no free port between 20000 and 32000 was found")
    }

    private static func launch(
        _ plan: Plan, port: UInt16, _ directory: URL
    ) throws(CommandFailure) -> BenchServer {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: plan.program)
        process.arguments = ["--config", directory.appendingPathComponent("memkvd.yaml").path]
        process.environment = ProcessInfo.processInfo.environment.filter {
            !$0.key.hasPrefix("MEMKVD_") && $0.key != "MEMKV_AUTH_KEY"
        }
        process.environment?["MEMKV_AUTH_KEY"] = plan.key.map {
            BlockKey(namespace: Namespace(0), littleEndianWords: $0.secret.words).hexadecimal
        }
        if plan.store == .file {
            process.arguments? += ["--data", directory.appendingPathComponent("data").path]
        }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        do {
            try configuration(plan, port: port).write(
                to: directory.appendingPathComponent("memkvd.yaml"), atomically: true,
                encoding: .utf8)
            let log = directory.appendingPathComponent("memkvd.log")
            try Data().write(to: log)
            process.standardError = try FileHandle(forWritingTo: log)
            // Foundation starts it in a process group of its own, which a Ctrl-C doesn't reach.
            UnfinishedFiles.add(directory.path) {
                if process.isRunning { kill(process.processIdentifier, SIGKILL) }
                try? FileManager.default.removeItem(at: directory)
            }
            try process.run()
        } catch {
            UnfinishedFiles.remove(directory.path)
            try? FileManager.default.removeItem(at: directory)
            throw CommandFailure(
                .usage,
                "\(plan.program) can't be started: \(error.localizedDescription); "
                    + "build it, or name one with --memkvd")
        }
        return BenchServer(
            ServerAddress(host: "127.0.0.1", port: port), process, directory)
    }

    private static func configuration(_ plan: Plan, port: UInt16) -> String {
        """
        network: { address: 127.0.0.1:\(port) }
        storage:
          max_size: \(plan.driveBytes >> 20) MiB
        \(plan.store == .memory ? "  mode: memory\n" : "")
        """
    }

    private init(_ address: ServerAddress, _ process: Process, _ directory: URL) {
        self.address = address
        self.process = process
        self.directory = directory
    }

    /// False when somebody else has its port.
    private func becomesReady() throws(CommandFailure) -> Bool {
        guard let admin = address.admin else { preconditionFailure("the highest port") }
        let end = Date().addingTimeInterval(Self.startSeconds)
        while process.isRunning, Date() < end {
            let deadline = BlockingClient.now.advanced(byMicroseconds: 1_000_000)
            if let answer = try? HTTPGet.perform("/v1/ready", on: admin, deadline: deadline),
                answer.statusCode == 200, process.isRunning
            {
                return true
            }
            Thread.sleep(forTimeInterval: 0.01)
        }
        if !process.isRunning, process.terminationStatus == Self.addressInUse { return false }
        let log = KernelFile.text(directory.appendingPathComponent("memkvd.log").path) ?? ""
        stop()
        throw CommandFailure(
            .unreachable, "memkvd did not get ready. Its log's end:\n\(log.suffix(2000))")
    }

    /// Ends it and removes its store.
    func stop() {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)
        UnfinishedFiles.remove(directory.path)
    }
}
