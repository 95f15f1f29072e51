// BlockDevices: the block devices of this machine, as the kernel lists them.

import Foundation

/// A block device.
struct BlockDeviceEntry: Hashable {
    let path: String
    let sizeBytes: UInt64
    let logicalBlockBytes: UInt64

    /// Every block device that has a size, partitions too, by name. Devices in memory (ram, zram)
    /// are no candidates for drives.
    static func all(systemDirectory: String = "/sys") -> [BlockDeviceEntry] {
        let folder = "\(systemDirectory)/class/block"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.sorted { $0.compare($1, options: .numeric) == .orderedAscending }.compactMap {
            name in
            guard !name.hasPrefix("ram"), !name.hasPrefix("zram"),
                let sectors = number("\(folder)/\(name)/size"), sectors > 0
            else { return nil }
            // A partition's queue is its disk's.
            let logical =
                number("\(folder)/\(name)/queue/logical_block_size")
                ?? number("\(folder)/\(name)/../queue/logical_block_size") ?? 512
            return BlockDeviceEntry(
                path: "/dev/" + name.replacingOccurrences(of: "!", with: "/"),
                sizeBytes: sectors * 512, logicalBlockBytes: logical)
        }
    }

    private static func number(_ path: String) -> UInt64? {
        FileManager.default.contents(atPath: path).flatMap {
            UInt64(String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .newlines))
        }
    }
}
