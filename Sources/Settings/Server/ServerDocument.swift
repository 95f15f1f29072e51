// ServerDocument: memkvd's configuration file, key by key, before anything is checked against
// anything else.
//
// Refuses unknown keys, keys that this version doesn't build, and values of the wrong kind.

internal import Engine
package import Schema

/// The settings that a configuration file gives; nil where it is silent.
package struct ServerDocument: Sendable {
    var address: Setting<String>?
    var limits = LimitsDocument()
    var keys: [Key] = []
    var tagsPayloads: Setting<Bool>?
    var isInsecure: Setting<Bool>?
    var certificate: Setting<String>?
    var certificateKey: Setting<String>?
    var adminToken: Setting<String>?
    var slabSize: Setting<ByteCount>?
    var poolSize: Setting<ByteCount>?
    var mode: Setting<String>?
    var blockSize: Setting<ByteCount>?
    var minimumSlot: Setting<ByteCount>?
    var driveSize: Setting<ByteCount>?
    var drives: Setting<[Drive]>?
    var evictionEnabled: Setting<Bool>?
    var evictionWatermark: Setting<Int>?
    var scrubRate: Setting<ByteCount>?
    var scrubPause: Setting<UInt64>?
    var shards: Setting<Int>?
    var rdma: RDMADocument?

    /// One entry of `storage.drives`.
    struct Drive: Sendable {
        let media: Setting<String>
        let maximumSize: Setting<ByteCount>?
    }

    /// `network.auth_key`, or one entry of `network.auth_keys`.
    struct Key: Sendable {
        let key: Setting<String>
        let namespaces: [Setting<String>]?
    }

    /// No file: nothing is said.
    package init() {}

    /// Reads `text`; messages call the file `file`.
    package init(text: String, file: String) throws(ConfigurationError) {
        let root = try DocumentSection(document: text, file: file, schema: Self.root)
        if let network = try root.section("network", schema: Self.network) {
            try read(network: network)
        }
        if let memory = try root.section("memory", schema: Self.memory) {
            slabSize = try memory.size("block_size")
            poolSize = try memory.size("max_size")
        }
        if let storage = try root.section("storage", schema: Self.storage) {
            try read(storage: storage)
        }
        if let section = try root.section("rdma", schema: RDMADocument.schema) {
            rdma = try RDMADocument(section)
        }
    }

    private mutating func read(network: DocumentSection) throws(ConfigurationError) {
        address = try network.text("address")
        if let section = try network.section("limits", schema: LimitsDocument.schema) {
            limits = try LimitsDocument(section)
        }
        tagsPayloads = try network.flag("payload_mac")
        isInsecure = try network.flag("insecure")
        certificate = try network.text("tls_cert")
        certificateKey = try network.text("tls_key")
        adminToken = try network.text("admin_token")
        if let key = try network.text("auth_key") { keys.append(Key(key: key, namespaces: nil)) }
        for item in try network.items("auth_keys", schema: Self.key) ?? [] {
            switch item {
            case .text(let key): keys.append(Key(key: key, namespaces: nil))
            case .section(let section):
                guard let key = try section.text("key") else {
                    throw section.missing("key", "missing; give the key's 64 hex digits")
                }
                keys.append(Key(key: key, namespaces: try section.texts("namespaces")))
            }
        }
    }

    private mutating func read(storage: DocumentSection) throws(ConfigurationError) {
        mode = try storage.word("mode", among: ["direct", "file", "memory"])
        blockSize = try storage.size("block_size")
        minimumSlot = try storage.size("min_slot")
        driveSize = try storage.size("max_size")
        shards = try storage.number("shards", in: 1...ShardPost.shardLimit)
        if let durability = try storage.word("durability", among: ["durable", "relaxed"]),
            durability.value == "relaxed"
        {
            throw durability.refused(
                "relaxed is not built in this version; every acknowledged block is durable")
        }
        if let eviction = try storage.section("eviction", schema: Self.eviction) {
            evictionEnabled = try eviction.flag("enabled")
            evictionWatermark = try eviction.number("watermark", in: 1...100)
        }
        if let scrub = try storage.section("scrub", schema: Self.scrub) {
            scrubRate = try scrub.size("rate")
            let day = 24 * SessionLimits.longestMicroseconds
            scrubPause = try scrub.microseconds("pause", in: 0...30 * day)
        }
        guard let sections = try storage.sections("drives", schema: Self.drive) else { return }
        var list: [Drive] = []
        for section in sections {
            guard let media = try section.text("media") else {
                throw section.missing("media", "missing; name the drive's file or device")
            }
            list.append(Drive(media: media, maximumSize: try section.size("max_size")))
        }
        let origin = sections.first?.origin ?? storage.origin
        drives = Setting(list, key: "storage.drives", origin: origin)
    }

    // MARK: The schema

    static let root = SectionSchema(keys: ["network", "memory", "storage", "rdma"])
    static let network = SectionSchema(
        keys: [
            "address", "limits", "auth_key", "auth_keys", "payload_mac", "insecure", "tls_cert",
            "tls_key", "admin_token",
        ])
    static let key = SectionSchema(keys: ["key", "namespaces"])
    static let memory = SectionSchema(keys: ["block_size", "max_size"])
    static let storage = SectionSchema(
        keys: [
            "mode", "block_size", "min_slot", "max_size", "drives", "eviction", "scrub",
            "durability", "shards",
        ])
    static let eviction = SectionSchema(keys: ["enabled", "watermark"])
    static let scrub = SectionSchema(keys: ["rate", "pause"])
    static let drive = SectionSchema(keys: ["media", "max_size"])

    /// Every dotted key that a file may hold, for the documentation's test.
    package static let allKeys: [String] = [
        ("network", network), ("network.limits", LimitsDocument.schema),
        ("network.auth_keys[]", key), ("memory", memory), ("storage", storage),
        ("storage.eviction", eviction), ("storage.scrub", scrub), ("storage.drives[]", drive),
        ("rdma", RDMADocument.schema),
    ].flatMap { section, schema in schema.keys.map { "\(section).\($0)" } }

    /// Every dotted key that is refused because it isn't built yet.
    package static let allKeysNotBuilt: [String] =
        RDMADocument.schema.notBuilt.map { "rdma.\($0)" }
}
