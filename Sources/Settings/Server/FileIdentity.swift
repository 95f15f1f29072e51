// FileIdentity: what a path leads to, so that two names of one file or device are known for one.
//
// Always holds: hard links, symbolic links and device nodes of one device are the same; a path that
// leads nowhere yet is the place where a file would be made, links followed. Names are compared by
// their bytes, as the kernel does.
//
// One of the files that may say `unsafe`.

internal import Glibc

/// What a path leads to.
package enum FileIdentity: Hashable, Sendable {
    case device(number: UInt64)
    case file(system: UInt64, inode: UInt64)
    /// Nothing yet: the directory it would be in, and its name there.
    case place(system: UInt64, inode: UInt64, name: [UInt8])
    /// Not even the directory is there.
    case nowhere(path: [UInt8])

    /// Links to follow before a chain of them counts as endless.
    private static let linkLimit = 40

    package init(of path: String) {
        let target = Self.target(of: path)
        var facts = stat()
        if unsafe fstatat(AT_FDCWD, target, &facts, 0) == 0 {
            self =
                facts.st_mode & S_IFMT == S_IFBLK
                ? .device(number: UInt64(facts.st_rdev))
                : .file(system: UInt64(facts.st_dev), inode: UInt64(facts.st_ino))
            return
        }
        let (directory, name) = Self.split(target)
        if unsafe fstatat(AT_FDCWD, directory, &facts, 0) == 0 {
            self = .place(
                system: UInt64(facts.st_dev), inode: UInt64(facts.st_ino), name: Array(name.utf8))
        } else {
            self = .nowhere(path: Array(target.utf8))
        }
    }

    /// The first of `paths` that leads where an earlier one leads, and that one; nil when none
    /// does.
    package static func firstPair(in paths: [String]) -> (path: String, other: String)? {
        var seen: [FileIdentity: String] = [:]
        for path in paths {
            let identity = FileIdentity(of: path)
            if let other = seen[identity] { return (path, other) }
            seen[identity] = path
        }
        return nil
    }

    /// `path` with the links at its end followed, also where they lead to nothing.
    package static func target(of path: String) -> String {
        var path = path
        for _ in 0..<linkLimit {
            guard let link = readLink(path) else { return path }
            path = link.utf8.first == 0x2F ? link : split(path).directory + "/" + link
        }
        return path
    }

    private static func readLink(_ path: String) -> String? {
        var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink(path, &bytes, bytes.count)
        guard length > 0, length < bytes.count else { return nil }
        return String(decoding: bytes[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func split(_ path: String) -> (directory: String, name: Substring) {
        let bytes = path.utf8
        guard let slash = bytes.lastIndex(of: 0x2F) else { return (".", path[...]) }
        let directory = slash == bytes.startIndex ? "/" : String(path[..<slash])
        return (directory, path[bytes.index(after: slash)...])
    }
}
