// Local files: whole reads into memory that somebody owns, and outputs that appear complete or not
// at all.
//
// Always holds: an OutputFile's name holds either what it held before or the complete new bytes,
// which were flushed before the rename; its temporary file goes when it isn't finished. Refuses to
// replace what is no regular file. One of the files that may say `unsafe`.

import Client
import Glibc
import Settings

private func problem(_ doing: String, _ path: String) -> CommandFailure {
    CommandFailure(.usage, "can't \(doing) \(path): \(unsafe String(cString: strerror(errno)))")
}

/// A file, or standard input, that is read from its start to its end.
struct InputFile: ~Copyable {
    let path: String
    private let descriptor: Int32

    /// Opens the file at `path`; nil for standard input.
    init(path: String?) throws(CommandFailure) {
        self.path = path ?? "standard input"
        guard let path else {
            descriptor = STDIN_FILENO
            return
        }
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw problem("read", path) }
        guard (try Self.facts(of: descriptor, path).st_mode & S_IFMT) != S_IFDIR else {
            throw CommandFailure(.usage, "can't read \(path): it is a directory; name its files")
        }
    }

    deinit { if descriptor != STDIN_FILENO { close(descriptor) } }

    /// Bytes the file has now.
    func size() throws(CommandFailure) -> UInt64 {
        UInt64(try Self.facts(of: descriptor, path).st_size)
    }

    /// Fills `memory` as far as the file goes; returns how far, 0 at the end.
    func read(into memory: DestinationBytes) throws(CommandFailure) -> Int {
        var done = 0
        while done < memory.count {
            let rest = memory.slice(from: done, count: memory.count - done)
            let moved = unsafe Glibc.read(descriptor, rest.buffer.baseAddress, rest.count)
            if moved < 0, errno == EINTR { continue }
            guard moved >= 0 else { throw problem("read", path) }
            if moved == 0 { break }
            done += moved
        }
        return done
    }

    private static func facts(of descriptor: Int32, _ path: String) throws(CommandFailure) -> stat {
        var facts = stat()
        guard unsafe fstat(descriptor, &facts) == 0 else { throw problem("read", path) }
        return facts
    }
}

/// A file that replaces the one of its name when it is complete. Several threads may write to it.
@safe
final class OutputFile: @unchecked Sendable {
    // Sendable because the descriptor never changes and pwrite has no position of its own.
    let path: String
    let temporaryPath: String
    private let directory: String
    private let descriptor: Int32
    private var finished = false

    /// Opens a temporary file beside `path`.
    init(path: String) throws(CommandFailure) {
        let target = try Self.target(of: path)
        let slash = target.lastIndex(of: "/")
        let name = slash.map { String(target[target.index(after: $0)...]) } ?? target
        self.path = target
        directory = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        temporaryPath = "\(directory)/.\(name).\(getpid()).memkv-part"
        descriptor = unsafe open(temporaryPath, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw problem("write", path) }
        UnfinishedFiles.add(temporaryPath)
    }

    deinit {
        close(descriptor)
        discard()
    }

    /// Removes the temporary file unless the file was finished.
    func discard() {
        if !finished {
            unsafe unlink(temporaryPath)
            UnfinishedFiles.remove(temporaryPath)
        }
        finished = true
    }

    /// Writes all of `bytes` at `offset`.
    func write(_ bytes: SourceBytes, at offset: UInt64) throws(CommandFailure) {
        var done = 0
        while done < bytes.count {
            let rest = bytes.slice(from: done, count: bytes.count - done)
            let moved = unsafe pwrite(
                descriptor, rest.buffer.baseAddress, rest.count, off_t(offset) + off_t(done))
            if moved < 0, errno == EINTR { continue }
            guard moved > 0 else { throw problem("write", path) }
            done += moved
        }
    }

    /// Flushes, and gives the file its name.
    func finish() throws(CommandFailure) {
        guard fsync(descriptor) == 0 else { throw problem("flush", path) }
        guard unsafe rename(temporaryPath, path) == 0 else { throw problem("rename", path) }
        UnfinishedFiles.remove(temporaryPath)
        finished = true
        let folder = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw problem("flush", directory) }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw problem("flush", directory) }
    }

    /// `path` with its links followed, so that a link's target is replaced and not the link.
    private static func target(of path: String) throws(CommandFailure) -> String {
        var facts = stat()
        guard unsafe fstatat(AT_FDCWD, path, &facts, 0) == 0 else { return path }
        guard facts.st_mode & S_IFMT == S_IFREG else {
            throw CommandFailure(.usage, "can't replace \(path): it is not a regular file")
        }
        guard let resolved = unsafe realpath(path, nil) else { throw problem("write", path) }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }
}

/// SEEK_DATA, which the importer drops.
private let seekData: CInt = 3

enum LocalFiles {
    /// What a path leads to.
    enum Kind { case nothing, file, directory, blockDevice, other }

    static func kind(of path: String) -> Kind {
        var facts = stat()
        guard unsafe fstatat(AT_FDCWD, path, &facts, 0) == 0 else { return .nothing }
        switch facts.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .directory
        case S_IFBLK: return .blockDevice
        default: return .other
        }
    }

    static func remove(_ path: String) { unsafe unlink(path) }

    /// Makes a file empty that was empty before.
    static func empty(_ path: String) { unsafe truncate(path, 0) }

    /// Refuses a path whose directory isn't there or can't be written to.
    static func checkDirectory(of path: String) throws(CommandFailure) {
        let target = FileIdentity.target(of: path)
        let slash = target.utf8.lastIndex(of: 0x2F)
        let directory = slash.map { $0 == target.startIndex ? "/" : String(target[..<$0]) } ?? "."
        guard unsafe access(directory, W_OK | X_OK) == 0 else { throw problem("make", path) }
    }

    /// True when the file holds any byte but zeros. Holes aren't read.
    static func hasData(_ path: String) throws(CommandFailure) -> Bool {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw problem("read", path) }
        defer { close(descriptor) }
        let buffer = OwnedBytes(count: 1 << 20)
        var offset: off_t = 0
        while true {
            let start = lseek(descriptor, offset, seekData)
            if start < 0 {
                // ENXIO: no more data. A file system without holes has no SEEK_DATA: EINVAL.
                if errno == EINVAL, offset == 0 { return true }
                return false
            }
            let memory = buffer.destination
            let count = unsafe pread(descriptor, memory.buffer.baseAddress, memory.count, start)
            guard count >= 0 else { throw problem("read", path) }
            if count == 0 { return false }
            if unsafe memory.buffer.prefix(count).contains(where: { $0 != 0 }) { return true }
            offset = start + off_t(count)
        }
    }

    /// True for a file of no bytes.
    static func isEmpty(_ path: String) -> Bool {
        var facts = stat()
        guard unsafe fstatat(AT_FDCWD, path, &facts, 0) == 0 else { return false }
        return facts.st_mode & S_IFMT == S_IFREG && facts.st_size == 0
    }

    /// Makes a directory unless it is there.
    static func makeDirectory(_ path: String) throws(CommandFailure) {
        if kind(of: path) == .directory { return }
        guard unsafe mkdir(path, 0o777) == 0 else { throw problem("make the directory", path) }
    }

    /// Opens the standard streams that are closed, so that no file or socket takes their place.
    /// What is written to them fails then.
    static func openStandardStreams() {
        while true {
            let descriptor = unsafe open("/dev/null", O_RDONLY)
            guard descriptor >= 0, descriptor <= STDERR_FILENO else {
                close(descriptor)
                return
            }
        }
    }

    /// Refuses a standard output that takes nothing: closed, or a device that is full.
    static func checkStandardOutput() throws(CommandFailure) {
        guard unsafe write(STDOUT_FILENO, "", 0) == 0 else {
            throw problem("write", "standard output")
        }
    }

    /// Writes all of `bytes` to standard output.
    static func writeToStandardOutput(_ bytes: SourceBytes) throws(CommandFailure) {
        var done = 0
        while done < bytes.count {
            let rest = bytes.slice(from: done, count: bytes.count - done)
            let moved = unsafe write(STDOUT_FILENO, rest.buffer.baseAddress, rest.count)
            if moved < 0, errno == EINTR { continue }
            guard moved > 0 else { throw problem("write", "standard output") }
            done += moved
        }
    }

    /// Whether a person sees what is written to standard error.
    static var errorsGoToATerminal: Bool { isatty(STDERR_FILENO) == 1 }
}
