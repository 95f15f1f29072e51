// Places for drives: files on two kinds of file system, and loop devices, made and removed by the
// test; and the drives of this machine that may be overwritten.

#if IOUring

import Glibc
import IOUring

/// A block device that whoever runs the tests has given them, as PATH=BLOCK in the space-separated
/// list MEMKV_TEST_DRIVES: its path, and the size of its logical blocks. Everything on it is lost.
struct NamedDrive: Equatable, Sendable {
    let path: String
    let logicalBlockBytes: Int

    /// Stops the tests at a list that can't be read: a drive left out would be a test not run.
    static let all: [NamedDrive] = {
        guard let list = unsafe getenv("MEMKV_TEST_DRIVES") else { return [] }
        return unsafe String(cString: list).split(separator: " ").map { item in
            let parts = item.split(separator: "=")
            guard parts.count == 2, let bytes = Int(parts[1]) else {
                fatalError("MEMKV_TEST_DRIVES: \(item) is not PATH=BLOCK")
            }
            return NamedDrive(path: String(parts[0]), logicalBlockBytes: bytes)
        }
    }()
}

/// A file that goes away with its handle.
final class ScratchFile {
    let path: String

    init(in directory: String) {
        var random = SystemRandomNumberGenerator()
        path = "\(directory)/memkv-test-\(getpid())-\(random.next())"
    }

    deinit { _ = unsafe unlink(path) }
}

/// A loop device over a sparse file on tmpfs, detached and removed with its handle.
final class LoopDevice {
    let path: String
    private let file: ScratchFile

    /// Nil when this process may not make loop devices.
    init?(logicalBlockBytes: Int, capacityMebibytes: Int) {
        file = ScratchFile(in: "/dev/shm")
        path = run(
            "truncate -s \(capacityMebibytes)M \(file.path) && losetup --find --show "
                + "--sector-size \(logicalBlockBytes) \(file.path)")
        if !path.hasPrefix("/dev/loop") { return nil }
    }

    deinit {
        if path.hasPrefix("/dev/loop") { _ = run("losetup --detach \(path)") }
    }

    /// True where loop devices can be made; otherwise tests on them are skipped, and reported so.
    static let isAvailable = LoopDevice(logicalBlockBytes: 512, capacityMebibytes: 1) != nil
}

/// A tmpfs of one mebibyte, unmounted and removed with its handle.
final class TinyFileSystem {
    let path: String

    /// Nil when this process may not mount.
    init?() {
        path = run("mktemp -d /dev/shm/memkv-test-XXXXXX")
        guard run("mount -t tmpfs -o size=1M memkv-test \(path) && echo done") == "done" else {
            return nil
        }
    }

    deinit { _ = run("umount \(path); rmdir \(path)") }

    /// True where a file system can be mounted; otherwise tests that fill one up are skipped.
    static let isAvailable = TinyFileSystem() != nil
}

/// The first line a shell command prints; empty when it fails.
func run(_ command: String) -> String {
    guard let pipe = unsafe popen("(\(command)) 2>/dev/null", "r") else { return "" }
    var line: [CChar] = Array(repeating: 0, count: 256)
    let isRead = unsafe fgets(&line, 256, pipe) != nil
    guard unsafe pclose(pipe) == 0, isRead else { return "" }
    let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self)
}

#endif
