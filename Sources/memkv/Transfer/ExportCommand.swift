// export: a manifest's files back out of the store, verified block by block and as a whole.

import ArgumentParser
import Client
import Foundation
import Settings
import Wire

struct Export: MemkvCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write the files of a manifest, verified.",
        discussion: """
            With one file in the manifest, -o is the file to write, or a directory that exists; \
            with several, it is a directory. Each file appears only when every block and the whole \
            have been \
            verified. The namespace is the manifest's.
            """)

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: "What `import` wrote.") var manifest: String
    @Option(name: .shortAndLong, help: ArgumentHelp("Where to.", valueName: "file or directory"))
    var output: String
    @OptionGroup var transfer: TransferOptions

    func run(_ settings: Settings) throws {
        if FileIdentity.firstPair(in: [manifest, output]) != nil {
            throw CommandFailure(
                .usage, "the file would replace \(manifest); give another name to -o")
        }
        let content = try Manifest.read(from: manifest)
        let largest = content.files.flatMap(\.blocks).map(\.length).max() ?? 1
        let intoDirectory = content.files.count != 1 || LocalFiles.kind(of: output) == .directory
        if intoDirectory { try LocalFiles.makeDirectory(output) }
        let bar = ProgressBar(
            "export", totalBytes: content.files.reduce(0) { $0 + $1.size },
            visible: LocalFiles.errorsGoToATerminal && !settings.json)
        defer { bar.finish() }
        let start = BlockingClient.now
        var summary = TransferSummary()
        for file in content.files {
            let exporter = try Exporter(
                settings, file: file,
                target: intoDirectory ? "\(output)/\(file.name)" : output,
                namespace: Namespace(content.namespace), blockBytes: Int(largest),
                inFlight: transfer.inFlight, bar: bar)
            try exporter.run(connections: transfer.connections)
            summary.blocks += file.blocks.count
            summary.bytes += file.size
        }
        bar.finish()
        summary.measure(since: start)
        try summary.show(verb: "restored", json: settings.json)
    }
}
