// put, get, exists, stat, delete: single blocks.

import ArgumentParser
import Client
import Settings
import Wire

struct Put: MemkvCommand {
    static let configuration = CommandConfiguration(
        abstract: "Store a value; it is durable when the command ends with 0.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: "64 hex digits, or any text, which is hashed.") var key: String
    @Argument(help: "The value; standard input when absent.") var file: String?
    @Flag(help: LeasedBlocks.flagHelp) var lease = false

    private struct Answer: Encodable {
        let key: String
        let namespace: UInt32
        let length: Int
    }

    func run(_ settings: Settings) throws {
        let input = try InputFile(path: file)
        let blockKey = try settings.key(key)
        let client = settings.client()
        let limits = try settings.limits(of: client.placement.server(for: blockKey), by: client)
        let limit = Int(limits.valueLimitBytes)
        let memory = OwnedBytes(count: limit + 1)
        let length = try input.read(into: memory.destination)
        guard length <= limit else {
            throw CommandFailure(
                .refused,
                "\(input.path) has more than the \(ByteSize(bytes: UInt64(limit)).exact) that the "
                    + "server takes for one value; `memkv import` splits files into blocks")
        }
        do {
            let value = memory.source(count: length)
            if lease {
                try LeasedBlocks.client(of: blockKey, by: client, settings)
                    .put(blockKey, value, deadline: settings.deadline)
            } else {
                try client.put(blockKey, value, deadline: settings.deadline)
            }
        } catch let error as ClientError {
            throw CommandFailure(error, subject: key, key: blockKey, by: client)
        }
        guard settings.json else { return }
        try Terminal.json(
            Answer(
                key: blockKey.hexadecimal, namespace: settings.namespace.rawValue, length: length))
    }
}

struct Get: MemkvCommand {
    static let configuration = CommandConfiguration(
        abstract: "Fetch a value, verified.",
        discussion: "Nothing is written unless the whole value has been verified.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: "64 hex digits, or any text, which is hashed.") var key: String
    @Option(name: .shortAndLong, help: "Where the value goes; standard output when absent.")
    var output: String?
    @Flag(help: LeasedBlocks.flagHelp) var lease = false

    private struct Answer: Encodable {
        let key: String
        let namespace: UInt32
        let length: Int
        let file: String
    }

    func run(_ settings: Settings) throws {
        guard !settings.json || output != nil else {
            throw CommandFailure(.usage, "--json needs -o FILE: standard output can't hold both")
        }
        let blockKey = try settings.key(key)
        let client = settings.client()
        let limits = try settings.limits(of: client.placement.server(for: blockKey), by: client)
        let memory = OwnedBytes(count: Int(limits.valueLimitBytes))
        let length: Int
        do {
            length =
                lease
                ? try LeasedBlocks.client(of: blockKey, by: client, settings)
                    .get(blockKey, into: memory.destination, deadline: settings.deadline)
                : try client.get(
                    blockKey, into: memory.destination, deadline: settings.deadline)
        } catch let error as ClientError {
            throw CommandFailure(error, subject: key, key: blockKey, by: client)
        }
        guard let output else {
            return try LocalFiles.writeToStandardOutput(memory.source(count: length))
        }
        let file = try OutputFile(path: output)
        try file.write(memory.source(count: length), at: 0)
        try file.finish()
        guard settings.json else { return }
        try Terminal.json(
            Answer(
                key: blockKey.hexadecimal, namespace: settings.namespace.rawValue, length: length,
                file: output))
    }
}

struct Stat: MemkvCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what is known of a block, without reading its value.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: "64 hex digits, or any text, which is hashed.") var key: String

    private struct Answer: Encodable {
        let key: String
        let namespace: UInt32
        let length: UInt32
        let xxh3: String
        let version: UInt64
    }

    func run(_ settings: Settings) throws {
        let blockKey = try settings.key(key)
        let client = settings.client()
        let facts: BlockFacts
        do {
            facts = try client.stat(blockKey, deadline: settings.deadline)
        } catch {
            throw CommandFailure(error, subject: key, key: blockKey, by: client)
        }
        let digits = String(facts.checksum, radix: 16)
        let checksum = String(repeating: "0", count: 16 - digits.count) + digits
        if settings.json {
            try Terminal.json(
                Answer(
                    key: blockKey.hexadecimal, namespace: settings.namespace.rawValue,
                    length: facts.lengthBytes, xxh3: checksum, version: facts.version))
        } else {
            Terminal.print("key      \(blockKey.hexadecimal)")
            Terminal.print(
                "length   \(facts.lengthBytes) "
                    + "(\(ByteSize(bytes: UInt64(facts.lengthBytes)).rounded))"
            )
            Terminal.print("xxh3     \(checksum)")
            Terminal.print("version  \(facts.version)")
        }
    }
}

struct Exists: MemkvCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say which blocks are there; ends with 1 when any is missing.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: "64 hex digits each, or any text, which is hashed.") var keys: [String]

    func run(_ settings: Settings) throws {
        try KeyBatch(keys: keys, words: ("present", "absent")).run(settings) {
            client, keys, limit throws(ClientError) in
            try client.exists(keys, deadline: limit)
        }
    }
}

struct Delete: MemkvCommand {
    static let configuration = CommandConfiguration(
        abstract: "Delete blocks; ends with 1 when any wasn't there.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: "64 hex digits each, or any text, which is hashed.") var keys: [String]

    func run(_ settings: Settings) throws {
        try KeyBatch(keys: keys, words: ("deleted", "absent")).run(settings) {
            client, keys, limit throws(ClientError) in
            try client.deleteBatch(keys, deadline: limit)
        }
    }
}
