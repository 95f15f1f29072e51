// Manifest: what `import` writes and `export` reads: files as lists of content-addressed blocks, in
// JSON.
//
// Always holds after `read`: the version is known, names are plain file names and differ, keys are
// 64 hex digits, block lengths add up to their file's size. Anything else is refused, naming what
// is wrong.

import Client
import Foundation
import Wire

struct Manifest: Codable {
    struct Block: Codable {
        /// SHA-256 of the block, 64 hex digits: its key.
        var key: String
        var length: UInt32
    }

    struct File: Codable {
        var name: String
        var size: UInt64
        /// SHA-256 of the whole file, 64 hex digits.
        var sha256: String
        var blocks: [Block]
    }

    static let formatName = "memkv-manifest"
    static let newestVersion = 1
    /// The largest value that any server holds.
    private static let longestBlockBytes: UInt32 = 16 << 20

    var format = formatName
    var version = newestVersion
    var blockSize: UInt32
    var namespace: UInt32
    var files: [File]

    private enum CodingKeys: String, CodingKey {
        case format, version, namespace, files
        case blockSize = "block_size"
    }

    /// Writes the manifest to `path`, complete or not at all.
    func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        let bytes = OwnedBytes([UInt8](try encoder.encode(self)) + [UInt8(ascii: "\n")])
        let file = try OutputFile(path: path)
        try file.write(bytes.source, at: 0)
        try file.finish()
    }

    static func read(from path: String) throws(CommandFailure) -> Manifest {
        let data: Data
        do {
            data = try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw CommandFailure(.usage, "can't read the manifest \(path)")
        }
        let manifest: Manifest
        do {
            manifest = try JSONDecoder().decode(Manifest.self, from: data)
        } catch {
            throw CommandFailure(
                .damaged, "\(path) is not a manifest: \(Self.sentence(for: error))")
        }
        try manifest.check(path)
        return manifest
    }

    private func check(_ path: String) throws(CommandFailure) {
        guard format == Self.formatName else {
            throw CommandFailure(.damaged, "\(path) is not a manifest: its format is '\(format)'")
        }
        guard version >= 1, version <= Self.newestVersion else {
            throw CommandFailure(
                .refused,
                "\(path) is a manifest of version \(version); this memkv reads up to "
                    + "\(Self.newestVersion), use a newer one")
        }
        // By bytes: names that only look alike are two files.
        var names: Set<[UInt8]> = []
        for file in files {
            guard Self.isPlainName(file.name) else {
                throw CommandFailure(
                    .damaged,
                    "\(path): '\(file.name)' is not a plain file name; nothing was written")
            }
            guard names.insert(Array(file.name.utf8)).inserted else {
                throw CommandFailure(.damaged, "\(path) names '\(file.name)' twice")
            }
            try Self.check(file, in: path)
        }
    }

    private static func check(_ file: File, in path: String) throws(CommandFailure) {
        var size: UInt64 = 0
        for (index, block) in file.blocks.enumerated() {
            guard block.length > 0 else {
                throw CommandFailure(.damaged, "\(path): block \(index) of '\(file.name)' is empty")
            }
            guard block.length <= longestBlockBytes else {
                throw CommandFailure(
                    .damaged,
                    "\(path): block \(index) of '\(file.name)' has \(block.length) bytes, more "
                        + "than any server holds")
            }
            guard BlockKey(namespace: Namespace(0), hexadecimal: block.key) != nil else {
                throw CommandFailure(
                    .damaged, "\(path): '\(block.key)' in '\(file.name)' is not 64 hex digits")
            }
            size += UInt64(block.length)
        }
        guard size == file.size else {
            throw CommandFailure(
                .damaged,
                "\(path): the blocks of '\(file.name)' have \(size) bytes, the file \(file.size)")
        }
    }

    /// A name that stays inside the directory it is written to.
    private static func isPlainName(_ name: String) -> Bool {
        // Bytes, not characters: a slash with an accent on it is a slash to the file system.
        let bytes = Array(name.utf8)
        return !bytes.isEmpty && bytes != Array(".".utf8) && bytes != Array("..".utf8)
            && !bytes.contains(UInt8(ascii: "/")) && !bytes.contains(0)
    }

    private static func sentence(for error: any Error) -> String {
        switch error {
        case DecodingError.keyNotFound(let key, _): "'\(key.stringValue)' is missing"
        case DecodingError.typeMismatch(_, let context),
            DecodingError.valueNotFound(_, let context):
            "'\(context.codingPath.map(\.stringValue).joined(separator: "."))' has the wrong type"
        default: "it is not well-formed JSON"
        }
    }
}
