// ProcessCounters: what Linux has counted for a process: its processor time and the bytes it had
// written to storage. Read from /proc.
//
// Always holds: a file that can't be read, or reads otherwise than documented (proc_pid_stat(5),
// proc_pid_io(5)), is no figure but a reason.

import Foundation

enum ProcessCounters {
    /// Processor time of all threads, ended ones and the kernel's work for them included, in steps
    /// of the kernel's clock tick (10 ms).
    static func processorNanoseconds(of process: Int32) -> Measured<UInt64> {
        guard let text = KernelFile.text("/proc/\(process)/stat") else {
            return .notMeasured("/proc/\(process)/stat can't be read")
        }
        return processorNanoseconds(inStat: text)
    }

    static func processorNanoseconds(inStat text: String) -> Measured<UInt64> {
        // The name, in parentheses, may hold anything; the numbers stand behind its last one.
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12])
        else { return .notMeasured("/proc/PID/stat has no processor times") }
        return .value((user + system) * (1_000_000_000 / ticksPerSecond))
    }

    /// USER_HZ, which Linux has promised programs on every architecture that Swift runs on.
    private static let ticksPerSecond: UInt64 = 100

    /// Bytes that the process has had written to storage.
    static func writtenBytes(by process: Int32) -> Measured<UInt64> {
        guard let text = KernelFile.text("/proc/\(process)/io") else {
            return .notMeasured("/proc/\(process)/io can't be read: it takes the server's user")
        }
        return writtenBytes(inIO: text)
    }

    static func writtenBytes(inIO text: String) -> Measured<UInt64> {
        for line in text.split(separator: "\n") where line.hasPrefix("write_bytes: ") {
            if let bytes = UInt64(line.dropFirst(13)) { return .value(bytes) }
        }
        return .notMeasured("/proc/PID/io has no write_bytes")
    }
}

/// Small files of /proc and /sys.
enum KernelFile {
    static func text(_ path: String) -> String? {
        guard let data = FileManager.default.contents(atPath: path), !data.isEmpty else {
            return nil
        }
        return String(decoding: data, as: UTF8.self)
    }

    /// What a symbolic link points to.
    static func target(_ path: String) -> String? {
        try? FileManager.default.destinationOfSymbolicLink(atPath: path)
    }

    static func names(in directory: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
    }
}
