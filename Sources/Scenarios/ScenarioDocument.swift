// ScenarioDocument: a scenario's YAML, read against its schema. Docs/simulation.md has every key.
//
// Refuses, with file and line: unknown keys, values without their unit, impossible ranges, faults
// that are told what they can't use, and a scenario in which nobody does anything.

package import Schema
package import Simulation

/// Reads scenarios.
package enum ScenarioDocument {
    private static let root = SectionSchema(keys: [
        "about", "store", "drive", "network", "rdma", "clients", "duration", "faults", "minimum",
        "bounds",
        "expect", "must_violate",
    ])

    /// The scenario that `text` holds. `file` is the name by which messages call it.
    package static func read(
        _ text: String, file: String
    ) throws(ConfigurationError) -> Scenario {
        let document = try DocumentSection(document: text, file: file, schema: root)
        guard let about = try document.text("about") else {
            throw document.missing("about", "say in a sentence what happens and what must hold")
        }
        let base = file.split(separator: "/").last.map(String.init) ?? file
        var scenario = Scenario(
            name: base.hasSuffix(".yaml") ? String(base.dropLast(5)) : base, about: about.value)
        scenario.contentHash = hash(of: text)
        try readStore(document, &scenario.store)
        try readDrive(document, &scenario.drive)
        try readNetwork(document, &scenario.network)
        try readRemote(document, &scenario.remote)
        scenario.clients = try ClientSections.read(document)
        try document.set(
            &scenario.durationMicroseconds, "duration", .time, in: 1000...86_400_000_000)
        scenario.faults = try FaultSections.read(document)
        try OutcomeSections.read(document, &scenario)
        return scenario
    }

    /// FNV-1a, 64 bits.
    private static func hash(of text: String) -> UInt64 {
        text.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    private static func readStore(
        _ document: DocumentSection, _ store: inout StoreShape
    ) throws(ConfigurationError) {
        let schema = SectionSchema(keys: [
            "shards", "drives", "drive_size", "sector_size", "block_size", "min_slot",
            "journal_blocks", "slabs", "dirty_entries", "change_limit", "scrub", "eviction", "mode",
            "requests_per_session", "sessions", "planted_bug",
        ])
        guard let section = try document.section("store", schema: schema) else { return }
        try section.set(&store.shards, "shards", .count, in: 1...16)
        try section.set(&store.drives, "drives", .count, in: 1...64)
        try section.set(&store.driveBytes, "drive_size", .bytes, in: (6 << 20)...(1 << 36))
        try section.set(&store.sectorBytes, "sector_size", .bytes, in: 512...4096)
        try section.set(&store.blockSizeBytes, "block_size", .bytes, in: 4096...(16 << 20))
        try section.set(&store.minimumSlotBytes, "min_slot", .bytes, in: 4096...(16 << 20))
        try section.set(&store.journalBlocks, "journal_blocks", .count, in: 16...16384)
        try section.set(&store.slabs, "slabs", .count, in: 2...65536)
        try section.set(&store.dirtyEntries, "dirty_entries", .count, in: 16...65536)
        if section.has("change_limit") {
            var limit = Drawn(0)
            try section.set(&limit, "change_limit", .count, in: 1...1_000_000)
            store.changeLimit = limit
        }
        try section.set(&store.scrubBytesPerSecond, "scrub", .bytes, in: 0...(1 << 30))
        try section.set(&store.requestsPerSession, "requests_per_session", .count, in: 1...128)
        try section.set(&store.sessions, "sessions", .count, in: 1...30_000)
        if let eviction = try section.flag("eviction") { store.isEvictionOn = eviction.value }
        if let mode = try section.word("mode", among: ["direct", "file"]) {
            store.areDrivesFiles = mode.value == "file"
        }
        store.plantedBug = try section.text("planted_bug")?.value
        for (key, bytes) in [
            ("sector_size", store.sectorBytes), ("block_size", store.blockSizeBytes),
            ("min_slot", store.minimumSlotBytes),
        ] where bytes.nonzeroBitCount != 1 {
            throw section.missing(key, "must be a power of two")
        }
        guard store.minimumSlotBytes <= store.blockSizeBytes else {
            throw section.missing("min_slot", "must not be above block_size")
        }
    }

    private static func readDrive(
        _ document: DocumentSection, _ drive: inout DriveModel
    ) throws(ConfigurationError) {
        let schema = SectionSchema(keys: [
            "channels", "read", "write", "flush", "bytes_per_us",
        ])
        guard let section = try document.section("drive", schema: schema) else { return }
        try section.set(&drive.channels, "channels", .count, in: 1...1024)
        try section.set(&drive.readMicroseconds, "read", .time, in: 1...10_000_000)
        try section.set(&drive.writeMicroseconds, "write", .time, in: 1...10_000_000)
        try section.set(&drive.flushMicroseconds, "flush", .time, in: 1...10_000_000)
        try section.set(&drive.bytesPerMicrosecond, "bytes_per_us", .bytes, in: 1...(1 << 20))
    }

    private static func readNetwork(
        _ document: DocumentSection, _ network: inout NetworkShape
    ) throws(ConfigurationError) {
        let schema = SectionSchema(keys: [
            "latency", "bytes_per_us", "pieces", "authenticated_runs",
        ])
        guard let section = try document.section("network", schema: schema) else { return }
        try section.set(&network.latencyMicroseconds, "latency", .time, in: 1...10_000_000)
        try section.set(&network.bytesPerMicrosecond, "bytes_per_us", .bytes, in: 1...(1 << 20))
        try section.set(&network.piecesPercent, "pieces", .percent, in: 0...100)
        try section.set(
            &network.authenticatedPercent, "authenticated_runs", .percent, in: 0...100)
    }

    private static func readRemote(
        _ document: DocumentSection, _ remote: inout RemoteShape
    ) throws(ConfigurationError) {
        let schema = SectionSchema(keys: [
            "queue_pairs", "credits", "leases_per_session", "lease_time", "control_time",
        ])
        guard let section = try document.section("rdma", schema: schema) else { return }
        try section.set(&remote.queuePairs, "queue_pairs", .count, in: 1...256)
        try section.set(&remote.credits, "credits", .count, in: 1...64)
        try section.set(&remote.leasesPerSession, "leases_per_session", .count, in: 1...256)
        try section.set(&remote.leaseMicroseconds, "lease_time", .time, in: 1000...3_600_000_000)
        try section.set(&remote.controlMicroseconds, "control_time", .time, in: 1...10_000_000)
    }
}

/// The clients of a scenario.
enum ClientSections {
    private static let schema = SectionSchema(keys: [
        "count", "in_flight", "connections", "namespaces", "keys", "skew", "value_size",
        "batch_items", "mix", "deadline", "think", "arrivals_per_second", "transport",
    ])
    private static let operations = SectionSchema(keys: [
        "put", "get", "delete", "exists", "stat", "put_batch", "get_batch", "delete_batch",
        "prefix",
    ])

    static func read(_ document: DocumentSection) throws(ConfigurationError) -> [ClientGroup] {
        guard let sections = try document.sections("clients", schema: schema), !sections.isEmpty
        else {
            throw document.missing("clients", "name at least one group of clients")
        }
        var groups: [ClientGroup] = []
        for section in sections { groups.append(try read(group: section)) }
        return groups
    }

    private static func read(group section: DocumentSection) throws(ConfigurationError)
        -> ClientGroup
    {
        var group = ClientGroup()
        try section.set(&group.count, "count", .count, in: 1...1000)
        try section.set(&group.inFlight, "in_flight", .count, in: 1...1024)
        try section.set(&group.connections, "connections", .count, in: 1...64)
        try section.set(&group.namespaces, "namespaces", .count, in: 1...16)
        try section.set(&group.keys, "keys", .count, in: 1...1_000_000)
        try section.set(&group.valueBytes, "value_size", .bytes, in: 1...(16 << 20))
        try section.set(&group.batchItems, "batch_items", .count, in: 1...64)
        try section.set(
            &group.deadlineMicroseconds, "deadline", .time, in: 1000...60_000_000)
        try section.set(&group.thinkMicroseconds, "think", .time, in: 0...3_600_000_000)
        try section.set(
            &group.arrivalsPerSecond, "arrivals_per_second", .count, in: 0...1_000_000)
        let skews = ClientGroup.Skew.allCases.map(\.rawValue)
        if let skew = try section.word("skew", among: skews) {
            group.skew = ClientGroup.Skew(rawValue: skew.value) ?? .zipf
        }
        let transports = ClientGroup.Transport.allCases.map(\.rawValue)
        if let transport = try section.word("transport", among: transports) {
            group.transport = ClientGroup.Transport(rawValue: transport.value) ?? .tcp
        }
        if let mix = try section.section("mix", schema: operations) {
            group.mix = try read(mix: mix)
        }
        return group
    }

    private static func read(mix section: DocumentSection) throws(ConfigurationError)
        -> OperationMix
    {
        var mix = OperationMix(none: ())
        let range: ClosedRange<UInt64> = 0...1_000_000
        try section.set(&mix.put, "put", .count, in: range)
        try section.set(&mix.get, "get", .count, in: range)
        try section.set(&mix.delete, "delete", .count, in: range)
        try section.set(&mix.exists, "exists", .count, in: range)
        try section.set(&mix.stat, "stat", .count, in: range)
        try section.set(&mix.putBatch, "put_batch", .count, in: range)
        try section.set(&mix.getBatch, "get_batch", .count, in: range)
        try section.set(&mix.deleteBatch, "delete_batch", .count, in: range)
        try section.set(&mix.prefix, "prefix", .count, in: range)
        if mix == OperationMix(none: ()) {
            throw section.missing("get", "a mix of nothing; give an operation a share")
        }
        return mix
    }
}
