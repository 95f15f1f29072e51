// Who uses a device, read from tables like the kernel's.

import Foundation
import Settings
import Testing

@testable import memkv

@Suite struct DriveUseTests {
    /// A loop device's number, so that a test needs no device node: 7:200 and up.
    private let system: Folder

    init() throws {
        system = try Folder()
        try make("sys/dev/block")
        try make("proc/self")
    }

    private func make(_ directory: String) throws {
        try FileManager.default.createDirectory(
            atPath: system.path(directory), withIntermediateDirectories: true)
    }

    private func write(_ text: String, to name: String) throws {
        _ = try system.write(Array(text.utf8), to: name)
    }

    /// A disk, or a partition of `disk`.
    private func addDevice(_ name: String, _ number: String, partitionOf disk: String? = nil) throws
    {
        let folder = disk.map { "sys/devices/\($0)/\(name)" } ?? "sys/devices/\(name)"
        try make(folder + "/holders")
        try write(number + "\n", to: folder + "/dev")
        if disk != nil { try write("1\n", to: folder + "/partition") }
        try FileManager.default.createSymbolicLink(
            atPath: system.path("sys/dev/block/\(number)"),
            withDestinationPath: system.path(folder))
    }

    private func uses(ofDevice number: UInt64, mounts: String = "", swaps: String = "") throws
        -> [String]
    {
        try write(mounts, to: "proc/self/mountinfo")
        try write("Filename Type Size Used Priority\n" + swaps, to: "proc/swaps")
        let tables = SystemTables(
            processDirectory: system.path("proc"), systemDirectory: system.path("sys"))
        return tables.uses(ofDevice: number).map(\.description)
    }

    @Test func aFreeDeviceHasNoUser() throws {
        try addDevice("nvme0n1", "259:3")
        let other = "31 1 259:4 / /data rw - ext4 /dev/nvme0n2 rw\n"
        #expect(try uses(ofDevice: packed(259, 3), mounts: other) == [])
    }

    @Test func mountsAreFoundByNumber() throws {
        try addDevice("nvme0n1", "259:3")
        let mount = "31 1 259:3 / /srv/with\\040blank rw shared:1 - ext4 /dev/other rw\n"
        #expect(
            try uses(ofDevice: packed(259, 3), mounts: mount)
                == ["/dev/nvme0n1 is mounted on /srv/with blank"])
    }

    @Test func partitionsAndTheirDiskAreOneFamily() throws {
        try addDevice("sda", "8:0")
        try addDevice("sda1", "8:1", partitionOf: "sda")
        let onPartition = "31 1 8:1 / /data rw - ext4 /dev/nowhere rw\n"
        #expect(
            try uses(ofDevice: packed(8, 0), mounts: onPartition)
                == ["/dev/sda1 is mounted on /data"])
        let onDisk = "31 1 8:0 / /data rw - ext4 /dev/nowhere rw\n"
        #expect(
            try uses(ofDevice: packed(8, 1), mounts: onDisk) == ["/dev/sda is mounted on /data"])
    }

    @Test func devicesMadeOfItAreNamed() throws {
        try addDevice("sdb", "8:16")
        try make("sys/devices/sdb/holders/dm-0")
        try make("sys/devices/sdb/holders/md127")
        #expect(
            try uses(ofDevice: packed(8, 16))
                == ["/dev/sdb is part of /dev/dm-0", "/dev/sdb is part of /dev/md127"])
    }

    @Test func largeNumbersAreUnpacked() {
        #expect(DeviceNumber(packed(259, 70000)).description == "259:70000")
    }

    /// A `dev_t`.
    private func packed(_ major: UInt64, _ minor: UInt64) -> UInt64 {
        major << 8 | minor & 0xFF | (minor & ~0xFF) << 12
    }
}
