// SystemCalls: the few calls of the C library that the daemon makes, each with a result that Swift
// can read.
//
// Always holds: an interrupted call is repeated; a failure carries the system's own words.
//
// One of the files that may say `unsafe`.

internal import Glibc

/// A call that failed: what was tried and what the system said.
struct SystemFailure: Error, Sendable, CustomStringConvertible {
    let description: String
    let isNotFound: Bool

    init(_ attempt: String, code: CInt = errno) {
        description = "\(attempt): \(unsafe String(cString: strerror(code)))"
        isNotFound = code == ENOENT
    }
}

/// Files, directories and streams.
enum SystemCalls {
    /// The whole of a text file; refuses what isn't UTF-8 or is longer than `limit` bytes.
    static func readText(_ path: String, limit: Int) throws(SystemFailure) -> String {
        // Without O_NONBLOCK, a FIFO would wait for a writer that may never come.
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw SystemFailure("can't open \(path)") }
        defer { close(file) }
        // What has no position is a FIFO, a socket or a terminal.
        guard lseek(file, 0, SEEK_CUR) == 0 else {
            throw SystemFailure("\(path) is not a regular file")
        }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = unsafe read(file, &piece, piece.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw SystemFailure("can't read \(path)")
            }
            if count == 0 { break }
            bytes += piece[..<count]
            if bytes.count > limit { throw SystemFailure("can't use \(path)", code: EFBIG) }
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw SystemFailure("\(path) is not UTF-8 text", code: EILSEQ)
        }
        return text
    }

    /// True when something exists under `path`.
    static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

    /// Makes a directory and those above it, where they are missing.
    static func makeDirectories(_ path: String) throws(SystemFailure) {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += made.isEmpty || made == "/" ? String(part) : "/" + part
            if unsafe mkdir(made, 0o700) != 0, errno != EEXIST {
                throw SystemFailure("can't make the directory \(made)")
            }
        }
    }

    /// Bytes that an ordinary user may still write on the file system of `path`.
    static func freeBytes(at path: String) throws(SystemFailure) -> UInt64 {
        var facts = statvfs()
        guard unsafe statvfs(path, &facts) == 0 else {
            throw SystemFailure("can't ask for the free space at \(path)")
        }
        return UInt64(facts.f_bavail) * UInt64(facts.f_frsize)
    }

    /// Deletes a file; one that isn't there is no failure.
    static func remove(_ path: String) throws(SystemFailure) {
        if unsafe unlink(path) != 0, errno != ENOENT { throw SystemFailure("can't remove \(path)") }
    }

    /// Gives a file its final name, durably: after a power cut it has the old name or the new one.
    static func renameDurably(
        _ path: String, to target: String, in directory: String
    ) throws(SystemFailure) {
        guard unsafe rename(path, target) == 0 else {
            throw SystemFailure("can't rename \(path) to \(target)")
        }
        let folder = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw SystemFailure("can't open \(directory)") }
        defer { close(folder) }
        guard fsync(folder) == 0 else { throw SystemFailure("can't flush \(directory)") }
    }

    /// Writes all of `text`; a stream that is gone is nobody's business here.
    static func write(_ text: String, to stream: CInt) {
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.write(stream, buffer.baseAddress! + written, bytes.count - written)
            }
            if count < 0 {
                if errno == EINTR { continue }
                return
            }
            written += count
        }
    }

    /// Those of the environment's variables that are named and set.
    static func environment(_ names: [String]) -> [String: String] {
        var variables: [String: String] = [:]
        for name in names {
            if let value = unsafe getenv(name) { variables[name] = unsafe String(cString: value) }
        }
        return variables
    }

    /// Raises this process's limit of open descriptors to `wanted`, or as far as it may go. Returns
    /// the limit afterwards.
    static func raiseDescriptorLimit(to wanted: Int) throws(SystemFailure) -> Int {
        var limit = rlimit()
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard unsafe getrlimit(kind, &limit) == 0 else {
            throw SystemFailure("can't ask for the limit of open descriptors")
        }
        let reachable = min(rlim_t(wanted), limit.rlim_max)
        if limit.rlim_cur < reachable {
            limit.rlim_cur = reachable
            guard unsafe setrlimit(kind, &limit) == 0 else {
                throw SystemFailure("can't raise the limit of open descriptors")
            }
        }
        return Int(clamping: limit.rlim_cur)
    }

    /// The limit of open descriptors; 0 when the system doesn't say.
    static func descriptorLimit() -> UInt64 {
        var limit = rlimit()
        let kind = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        return unsafe getrlimit(kind, &limit) == 0 ? UInt64(limit.rlim_cur) : 0
    }

    /// Descriptors that are open now; 0 when the system doesn't say.
    static func openDescriptorCount() -> UInt64 {
        guard let directory = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe closedir(directory) }
        var entries: UInt64 = 0
        while unsafe readdir(directory) != nil { entries += 1 }
        // Without ".", ".." and the directory's own.
        return entries > 3 ? entries - 3 : 0
    }

    /// Processor time of this process, its kernel's part included; 0 when the system doesn't say.
    static func processorSeconds() -> Double {
        var usage = rusage()
        guard unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        let microseconds = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
        return Double(seconds) + Double(microseconds) / 1_000_000
    }

    /// Opens the standard streams that are closed, so that no socket or drive takes their place.
    static func openStandardStreams() {
        while true {
            let file = unsafe open("/dev/null", O_RDWR)
            guard file >= 0, file <= STDERR_FILENO else {
                close(file)
                return
            }
        }
    }

    static let standardOutput = STDOUT_FILENO
    static let standardError = STDERR_FILENO

    /// Milliseconds since 1970 began, in UTC.
    static func wallClockMilliseconds() -> Int64 {
        var now = timeval()
        unsafe gettimeofday(&now, nil)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_usec) / 1000
    }
}
