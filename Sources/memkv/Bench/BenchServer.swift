// BenchServer: a memkvd of the run's own, on loopback and a temporary store, from its start to its
// end.
//
// Always holds: the process that is stopped is the one that was started; its directory is removed
// with everything in it; neither outlives this program, see OrphanWatch.

import Client
import Foundation
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
    private let watch: OrphanWatch
    private let program: String

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
        try LocalFiles.makeDirectory(directory.path)
        var launched: BenchServer?
        do throws(CommandFailure) {
            let watch = try OrphanWatch(directory: directory.path)
            for _ in 0..<attempts {
                let port = UInt16.random(in: 20000..<32000)
                let server = try launch(plan, port: port, directory, watch)
                launched = server
                if try server.becomesReady() { return server }
            }
            throw CommandFailure(
                .unreachable, "no free port between 20000 and 32000 was found")
        } catch {
            launched?.stop()
            try? FileManager.default.removeItem(at: directory)
            throw error
        }
    }

    private static func launch(
        _ plan: Plan, port: UInt16, _ directory: URL, _ watch: OrphanWatch
    ) throws(CommandFailure) -> BenchServer {
        try checkProgram(plan.program)
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
            try process.run()
        } catch {
            throw CommandFailure(
                .usage,
                "\(plan.program) can't be started; build it, or name one with --memkvd")
        }
        watch.watch(process.processIdentifier)
        return BenchServer(
            ServerAddress(host: "127.0.0.1", port: port), process, directory, watch, plan.program)
    }

    private static func checkProgram(_ path: String) throws(CommandFailure) {
        let problem: String
        switch LocalFiles.kind(of: path) {
        case .nothing: problem = "isn't there"
        case .file where FileManager.default.isExecutableFile(atPath: path): return
        case .file, .directory, .blockDevice, .other: problem = "is no program"
        }
        throw CommandFailure(
            .usage, "\(path) \(problem); build memkvd, or name one with --memkvd")
    }

    private static func configuration(_ plan: Plan, port: UInt16) -> String {
        """
        network: { address: 127.0.0.1:\(port) }
        storage:
          max_size: \(plan.driveBytes >> 20) MiB
        \(plan.store == .memory ? "  mode: memory\n" : "")
        """
    }

    private init(
        _ address: ServerAddress, _ process: Process, _ directory: URL, _ watch: OrphanWatch,
        _ program: String
    ) {
        self.address = address
        self.process = process
        self.directory = directory
        self.watch = watch
        self.program = program
    }

    /// False when somebody else has its port.
    private func becomesReady() throws(CommandFailure) -> Bool {
        guard let admin = address.admin else { preconditionFailure("the highest port") }
        let end = Date().addingTimeInterval(Self.startSeconds)
        while process.isRunning, Date() < end {
            let deadline = BlockingClient.now.advanced(byMicroseconds: 1_000_000)
            if let answer = try? HTTPGet.perform(
                "/v1/ready", on: admin, by: .plain, deadline: deadline),
                answer.statusCode == 200, process.isRunning
            {
                return true
            }
            Thread.sleep(forTimeInterval: 0.01)
        }
        if !process.isRunning, process.terminationStatus == Self.addressInUse { return false }
        throw CommandFailure(.unreachable, "\(program) did not get ready: \(lastWords)")
    }

    /// What is known of a start that failed.
    private var lastWords: String {
        let log = KernelFile.text(directory.appendingPathComponent("memkvd.log").path) ?? ""
        if !log.isEmpty { return "its log's end:\n\(log.suffix(2000))" }
        if process.isRunning {
            return "it has logged nothing in \(Int(Self.startSeconds)) s; is it a memkvd?"
        }
        return "it ended with exit code \(process.terminationStatus) and logged nothing; "
            + "is it a memkvd?"
    }

    /// Ends it and removes its store.
    func stop() {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)
        watch.dismiss()
    }
}
