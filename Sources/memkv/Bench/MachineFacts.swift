// MachineFacts: what a result was measured on, as far as the system tells.

import Foundation
import Wire

struct MachineFacts: Encodable, Sendable {
    let kernel: Measured<String>
    let processorModel: Measured<String>
    let processors: Int
    let memoryBytes: UInt64
    /// How XXH3 is computed here.
    let checksumKernel: String

    init() {
        let release = KernelFile.text("/proc/sys/kernel/osrelease")
        kernel =
            release.map { .value($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
            ?? .notMeasured("/proc/sys/kernel/osrelease can't be read")
        let model = KernelFile.text("/proc/cpuinfo")?.split(separator: "\n").first {
            $0.hasPrefix("model name")
        }
        processorModel =
            model?.split(separator: ":").last.map {
                .value($0.trimmingCharacters(in: .whitespaces))
            } ?? .notMeasured("/proc/cpuinfo names no model")
        processors = ProcessInfo.processInfo.activeProcessorCount
        memoryBytes = ProcessInfo.processInfo.physicalMemory
        checksumKernel = Digest.xxh3Kernel
    }

    /// Processes that ran or wanted to, on average over the last minute.
    static var load: Measured<Double> {
        let first = KernelFile.text("/proc/loadavg")?.split(separator: " ").first
        return first.flatMap { Double($0) }.map { .value($0) }
            ?? .notMeasured("/proc/loadavg can't be read")
    }

    /// The commit of the working copy that `folder` lies in; with "-dirty" when files differ from
    /// it. It is that of a program in it only if this was built since.
    static func commit(ofFolder folder: String) -> Measured<String> {
        guard
            let commit = output(of: [
                "git", "-C", folder, "describe", "--always", "--dirty",
                "--abbrev=40", "--exclude=*",
            ])
        else { return .notMeasured("\(folder) doesn't lie in a working copy") }
        return .value(commit)
    }

    /// Where this program lies, and memkvd beside it.
    static var programFolder: URL {
        URL(fileURLWithPath: KernelFile.target("/proc/self/exe") ?? CommandLine.arguments[0])
            .deletingLastPathComponent()
    }

    private static func output(of command: [String]) -> String? {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return nil }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let text = String(decoding: data, as: UTF8.self)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        return process.terminationStatus == 0 && !text.isEmpty ? text : nil
    }
}
