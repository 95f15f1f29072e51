// ProcessCounters: what Linux has counted for a process: its processor time and the bytes it had
// written to storage.
//
// Always holds: what can't be read, or reads otherwise than documented (proc_pid_io(5)), is no
// figure but a reason.

import Client
import Foundation

enum ProcessCounters {
    /// Processor time of all threads, ended ones and the kernel's work for them included.
    static func processorNanoseconds(of process: Int32) -> Measured<UInt64> {
        ProcessorClock.nanoseconds(ofProcess: process).map { .value($0) }
            ?? .notMeasured("process \(process) has no clock here: it is gone")
    }

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
