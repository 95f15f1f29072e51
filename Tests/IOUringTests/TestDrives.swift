// Places for drives: files on two kinds of file system, and loop devices, made and removed by the
// test.

#if IOUring

import Glibc
import IOUring

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
