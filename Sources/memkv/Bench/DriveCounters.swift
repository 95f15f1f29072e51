// DriveCounters: flushes of drives, as the kernel counts them for whole block devices
// (/sys/block/NAME/stat, its sixteenth number).
//
// Always holds: only what nobody else can have caused is a figure: a whole block device, which
// memkvd opens exclusively. Flushes for a file belong to its file system and whoever else uses it.

import Foundation

enum DriveCounters {
    /// Flushes of all of these drives since the machine's start.
    static func flushes(of drives: Measured<[String]>) -> Measured<UInt64> {
        switch drives {
        case .value(let paths): Measured.sum(paths.map(flushes(of:)))
        case .notMeasured(let reason): .notMeasured(reason)
        }
    }

    private static func flushes(of path: String) -> Measured<UInt64> {
        if path == memoryDrive { return .notMeasured("memory mode has nothing to flush") }
        let whole = URL(fileURLWithPath: path).resolvingSymlinksInPath()
        let device = "/sys/class/block/\(whole.lastPathComponent)"
        guard whole.path.hasPrefix("/dev/"), let text = KernelFile.text("\(device)/stat") else {
            return .notMeasured(
                "\(path) is a file: the kernel counts flushes for whole block devices only")
        }
        guard KernelFile.text("\(device)/partition") == nil else {
            return .notMeasured(
                "\(path) is a partition: the kernel counts flushes for whole devices only")
        }
        return flushes(inStat: text)
    }

    static func flushes(inStat text: String) -> Measured<UInt64> {
        let fields = text.split(whereSeparator: \.isWhitespace)
        guard fields.count > 15, let count = UInt64(fields[15]) else {
            return .notMeasured("this kernel doesn't count flushes (before Linux 5.5)")
        }
        return .value(count)
    }

    /// What a server calls the drive of memory mode.
    static let memoryDrive = "memory"
}
