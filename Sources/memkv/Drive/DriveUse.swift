// DriveUse: who uses a block device or a file at this moment, as the kernel's tables say: mounts,
// swap, devices made of it.
//
// Always holds: a disk's partitions and a partition's disk count too. It only explains: what keeps
// two users apart is that drives are opened exclusively.

import Foundation
import Settings

/// One user of a drive.
enum DriveUse: Hashable, CustomStringConvertible {
    case mounted(device: String, at: String)
    case swap(device: String)
    case held(device: String, by: String)

    var description: String {
        switch self {
        case .mounted(let device, let place): "\(device) is mounted on \(place)"
        case .swap(let device): "\(device) is used as swap"
        case .held(let device, let holder): "\(device) is part of \(holder)"
        }
    }
}

/// The kernel's tables.
struct SystemTables {
    /// Lines of /proc/self/mountinfo.
    let mounts: [Substring]
    /// Lines of /proc/swaps, without the heading.
    let swaps: [Substring]
    let systemDirectory: String

    init(processDirectory: String = "/proc", systemDirectory: String = "/sys") {
        mounts = Self.lines("\(processDirectory)/self/mountinfo")
        swaps = Array(Self.lines("\(processDirectory)/swaps").dropFirst())
        self.systemDirectory = systemDirectory
    }

    private static func lines(_ path: String) -> [Substring] {
        guard let bytes = FileManager.default.contents(atPath: path) else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    /// Everybody who uses what `path` leads to.
    func uses(of path: String) -> [DriveUse] {
        let identity = FileIdentity(of: path)
        switch identity {
        case .device(let number): return uses(ofDevice: number) + loops(over: path, identity)
        case .file: return uses(ofFile: path, identity)
        case .place, .nowhere: return []
        }
    }

    // MARK: Files

    private func uses(ofFile path: String, _ identity: FileIdentity) -> [DriveUse] {
        let isSwap = swaps.contains { FileIdentity(of: Self.field(0, of: $0)) == identity }
        return (isSwap ? [.swap(device: path)] : []) + loops(over: path, identity)
    }

    /// Loop devices that are made of `path`.
    private func loops(over path: String, _ identity: FileIdentity) -> [DriveUse] {
        names(in: "\(systemDirectory)/block").filter { $0.hasPrefix("loop") }.compactMap { name in
            guard let file = text("\(systemDirectory)/block/\(name)/loop/backing_file"),
                FileIdentity(of: file) == identity
            else { return nil }
            return .held(device: path, by: "/dev/\(name)")
        }
    }

    // MARK: Devices

    func uses(ofDevice number: UInt64) -> [DriveUse] {
        let folder = URL(
            fileURLWithPath: "\(systemDirectory)/dev/block/\(DeviceNumber(number))"
        ).resolvingSymlinksInPath().path
        var family = [folder]
        if exists("\(folder)/partition") {
            family.append(URL(fileURLWithPath: folder).deletingLastPathComponent().path)
        }
        for name in names(in: folder) where exists("\(folder)/\(name)/partition") {
            family.append("\(folder)/\(name)")
        }
        return family.flatMap { uses(ofFolder: $0) }
    }

    private func uses(ofFolder folder: String) -> [DriveUse] {
        let name = URL(fileURLWithPath: folder).lastPathComponent
        let device = "/dev/" + name.replacingOccurrences(of: "!", with: "/")
        guard let number = text("\(folder)/dev") else { return [] }
        func isIt(_ path: String) -> Bool {
            guard case .device(let other) = FileIdentity(of: path) else { return false }
            return DeviceNumber(other).description == number
        }
        var uses = names(in: "\(folder)/holders").map {
            DriveUse.held(device: device, by: "/dev/\($0)")
        }
        for mount in mounts {
            // Fields: id, parent, major:minor, root, place, options…, "-", kind, source, options.
            let source = mount.range(of: " - ").map { Self.field(1, of: mount[$0.upperBound...]) }
            if Self.field(2, of: mount) == number || source.map(isIt) == true {
                uses.append(.mounted(device: device, at: Self.field(4, of: mount)))
            }
        }
        if swaps.contains(where: { isIt(Self.field(0, of: $0)) }) {
            uses.append(.swap(device: device))
        }
        return uses
    }

    // MARK: Reading

    private func names(in directory: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    private func text(_ path: String) -> String? {
        FileManager.default.contents(atPath: path).map {
            String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .newlines)
        }
    }

    /// Field `index` of a line; blanks in it stand there as \040.
    private static func field(_ index: Int, of line: Substring) -> String {
        let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
        guard index < fields.count else { return "" }
        var bytes: [UInt8] = []
        var rest = Array(fields[index].utf8)[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == 0x5C, digits.count == 3,
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// A device's number, as Linux packs it into a `dev_t`.
struct DeviceNumber: Hashable, CustomStringConvertible {
    let major, minor: UInt64

    init(_ packed: UInt64) {
        major = packed >> 8 & 0xFFF | packed >> 32 & 0xFFFF_F000
        minor = packed & 0xFF | packed >> 12 & 0xFFFF_FF00
    }

    var description: String { "\(major):\(minor)" }
}
