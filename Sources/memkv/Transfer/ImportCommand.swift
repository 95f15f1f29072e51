// import: files as content-addressed blocks into the store, and the manifest that brings them back.

import ArgumentParser
import Client
import Foundation
import Settings
import Wire

struct Import: MemkvCommand {
    static let configuration = CommandConfiguration(
        abstract: "Store files as content-addressed blocks and write a manifest of them.",
        discussion: """
            Each block's key is its SHA-256, and the servers share the blocks by their keys. \
            Blocks that are there already are not sent again. The manifest appears only when \
            every block has been acknowledged. A lost connection is made anew until nothing has \
            been stored for --timeout seconds.
            """)

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: "The files.") var files: [String]
    @Option(
        name: .shortAndLong, help: ArgumentHelp("The manifest to write.", valueName: "manifest"))
    var output: String
    @Option(
        help: """
            Bytes of a block, written like "4 MiB". (default: 4 MiB, or the server's value limit \
            if smaller)
            """)
    var blockSize: ByteSize?
    @OptionGroup var transfer: TransferOptions

    private static let defaultBlockBytes: UInt32 = 4 << 20

    func run(_ settings: Settings) throws {
        let names = files.map { URL(fileURLWithPath: $0).lastPathComponent }
        // By bytes: names that only look alike are two files.
        let spellings = names.map { Array($0.utf8) }
        for (index, name) in names.enumerated()
        where spellings[..<index].contains(spellings[index]) {
            throw CommandFailure(
                .usage, "two files are called '\(name)'; a manifest holds each name once")
        }
        for file in files where FileIdentity.firstPair(in: [file, output]) != nil {
            throw CommandFailure(
                .usage, "the manifest would replace \(file); give another name to -o")
        }
        var totalBytes: UInt64 = 0
        for file in files { totalBytes += try InputFile(path: file).size() }
        let blockBytes = try chosenBlockBytes(valueLimitBytes: try smallestValueLimit(settings))
        let bar = ProgressBar(
            "import", totalBytes: totalBytes,
            visible: LocalFiles.errorsGoToATerminal && !settings.json)
        defer { bar.finish() }
        let importer = Importer(
            settings, blockBytes: Int(blockBytes), connections: transfer.connections,
            inFlight: transfer.inFlight, bar: bar)
        let start = BlockingClient.now
        let imported = try importer.run(Array(zip(names, files)))
        try Manifest(
            blockSize: blockBytes, namespace: settings.namespace.rawValue, files: imported
        ).write(to: output)
        bar.finish()
        var summary = importer.summary
        summary.measure(since: start)
        try summary.show(verb: "stored", json: settings.json)
    }

    /// Every server must take every block: which one gets it follows from its content.
    private func smallestValueLimit(_ settings: Settings) throws(CommandFailure) -> UInt32 {
        let client = settings.client()
        var smallest = UInt32.max
        for number in settings.servers.indices {
            let limits = try settings.limits(of: ServerNumber(number), by: client)
            smallest = min(smallest, limits.valueLimitBytes)
        }
        return smallest
    }

    private func chosenBlockBytes(valueLimitBytes: UInt32) throws -> UInt32 {
        guard let blockSize else { return min(Self.defaultBlockBytes, valueLimitBytes) }
        guard blockSize.bytes > 0 else {
            throw CommandFailure(.usage, "--block-size must be at least 1 byte")
        }
        guard blockSize.bytes <= UInt64(valueLimitBytes) else {
            throw CommandFailure(
                .refused,
                "--block-size \(blockSize.exact) is above the server's limit for one value, "
                    + ByteSize(bytes: UInt64(valueLimitBytes)).exact)
        }
        return UInt32(blockSize.bytes)
    }
}
