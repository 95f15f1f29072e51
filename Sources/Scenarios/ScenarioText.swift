// ScenarioText: a scenario as YAML, to be read again by ScenarioDocument.
//
// Always holds: what is written reads as the same scenario; what is as it would be anyhow isn't
// written.

internal import Schema
internal import Settings
package import Simulation

package enum ScenarioText {
    package static func of(_ scenario: Scenario) -> String {
        var lines = ["about: \(quoted(scenario.about))"]
        lines += section("store", store(scenario.store))
        lines += section("drive", drive(scenario.drive))
        lines += section("network", network(scenario.network))
        lines += section("rdma", remote(scenario.remote))
        lines.append("clients:")
        for group in scenario.clients { lines += item(client(group)) }
        lines.append("duration: \(text(scenario.durationMicroseconds, .time))")
        if !scenario.faults.isEmpty { lines.append("faults:") }
        for fault in scenario.faults { lines += item(self.fault(fault)) }
        lines += section("minimum", minimum(scenario.minimum))
        lines += section("bounds", bounds(scenario.bounds))
        if !scenario.expectations.isEmpty { lines.append("expect:") }
        for expectation in scenario.expectations { lines += item(expected(expectation)) }
        if let assertion = scenario.mustViolate {
            lines.append("must_violate: \(quoted(assertion))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    // MARK: Lines

    private typealias Entry = (key: String, value: String)

    private static func section(_ name: String, _ entries: [Entry]) -> [String] {
        entries.isEmpty ? [] : ["\(name):"] + entries.map { "  \($0.key): \($0.value)" }
    }

    private static func item(_ entries: [Entry]) -> [String] {
        entries.enumerated().map { place, entry in
            "  \(place == 0 ? "-" : " ") \(entry.key): \(entry.value)"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func text(_ drawn: Drawn, _ unit: ScenarioUnit) -> String {
        drawn.from == drawn.to
            ? unit.write(drawn.from)
            : "{from: \(unit.write(drawn.from)), to: \(unit.write(drawn.to))}"
    }

    /// An entry unless the value is what it would be anyhow.
    private static func entry(
        _ key: String, _ value: Drawn, _ standard: Drawn, _ unit: ScenarioUnit
    ) -> [Entry] {
        value == standard ? [] : [(key, text(value, unit))]
    }

    private static func entry(
        _ key: String, _ value: UInt64, _ standard: UInt64, _ unit: ScenarioUnit
    ) -> [Entry] {
        value == standard ? [] : [(key, unit.write(value))]
    }

    // MARK: Sections

    private static func store(_ store: StoreShape) -> [Entry] {
        let standard = StoreShape()
        var entries = entry("shards", store.shards, standard.shards, .count)
        entries += entry("drives", store.drives, standard.drives, .count)
        entries += entry("drive_size", store.driveBytes, standard.driveBytes, .bytes)
        entries += entry("sector_size", store.sectorBytes, standard.sectorBytes, .bytes)
        entries += entry("block_size", store.blockSizeBytes, standard.blockSizeBytes, .bytes)
        entries += entry("min_slot", store.minimumSlotBytes, standard.minimumSlotBytes, .bytes)
        entries += entry("journal_blocks", store.journalBlocks, standard.journalBlocks, .count)
        entries += entry("slabs", store.slabs, standard.slabs, .count)
        entries += entry("dirty_entries", store.dirtyEntries, standard.dirtyEntries, .count)
        if let limit = store.changeLimit {
            entries.append(("change_limit", text(limit, .count)))
        }
        entries += entry(
            "scrub", store.scrubBytesPerSecond, standard.scrubBytesPerSecond, .bytes)
        entries += entry(
            "requests_per_session", store.requestsPerSession, standard.requestsPerSession, .count)
        entries += entry("sessions", store.sessions, standard.sessions, .count)
        if store.isEvictionOn != standard.isEvictionOn {
            entries.append(("eviction", "\(store.isEvictionOn)"))
        }
        if store.areDrivesFiles { entries.append(("mode", "file")) }
        if let planted = store.plantedBug { entries.append(("planted_bug", quoted(planted))) }
        return entries
    }

    private static func drive(_ drive: DriveModel) -> [Entry] {
        let standard = DriveModel()
        return entry("channels", drive.channels, standard.channels, .count)
            + entry("read", drive.readMicroseconds, standard.readMicroseconds, .time)
            + entry("write", drive.writeMicroseconds, standard.writeMicroseconds, .time)
            + entry("flush", drive.flushMicroseconds, standard.flushMicroseconds, .time)
            + entry(
                "bytes_per_us", drive.bytesPerMicrosecond, standard.bytesPerMicrosecond, .bytes)
    }

    private static func network(_ network: NetworkShape) -> [Entry] {
        let standard = NetworkShape()
        return entry("latency", network.latencyMicroseconds, standard.latencyMicroseconds, .time)
            + entry(
                "bytes_per_us", network.bytesPerMicrosecond, standard.bytesPerMicrosecond, .bytes)
            + entry("pieces", network.piecesPercent, standard.piecesPercent, .percent)
            + entry(
                "authenticated_runs", network.authenticatedPercent,
                standard.authenticatedPercent, .percent)
    }

    private static func remote(_ remote: RemoteShape) -> [Entry] {
        let standard = RemoteShape()
        return entry("queue_pairs", remote.queuePairs, standard.queuePairs, .count)
            + entry("credits", remote.credits, standard.credits, .count)
            + entry(
                "leases_per_session", remote.leasesPerSession, standard.leasesPerSession, .count)
            + entry("lease_time", remote.leaseMicroseconds, standard.leaseMicroseconds, .time)
            + entry("control_time", remote.controlMicroseconds, standard.controlMicroseconds, .time)
    }

    /// Never empty: a group needs a line to stand in.
    private static func client(_ group: ClientGroup) -> [Entry] {
        let standard = ClientGroup()
        var entries: [Entry] = [("count", text(group.count, .count))]
        entries += entry("in_flight", group.inFlight, standard.inFlight, .count)
        entries += entry("connections", group.connections, standard.connections, .count)
        entries += entry("namespaces", group.namespaces, standard.namespaces, .count)
        entries += entry("keys", group.keys, standard.keys, .count)
        if group.skew != standard.skew { entries.append(("skew", group.skew.rawValue)) }
        entries += entry("value_size", group.valueBytes, standard.valueBytes, .bytes)
        entries += entry("batch_items", group.batchItems, standard.batchItems, .count)
        if group.mix != standard.mix { entries.append(("mix", mix(group.mix))) }
        entries += entry(
            "deadline", group.deadlineMicroseconds, standard.deadlineMicroseconds, .time)
        entries += entry(
            "arrivals_per_second", group.arrivalsPerSecond, standard.arrivalsPerSecond, .count)
        if group.transport != standard.transport {
            entries.append(("transport", group.transport.rawValue))
        }
        return entries + entry("think", group.thinkMicroseconds, standard.thinkMicroseconds, .time)
    }

    private static func mix(_ mix: OperationMix) -> String {
        let shares = [
            ("put", mix.put), ("get", mix.get), ("delete", mix.delete), ("exists", mix.exists),
            ("stat", mix.stat), ("put_batch", mix.putBatch), ("get_batch", mix.getBatch),
            ("delete_batch", mix.deleteBatch), ("prefix", mix.prefix),
        ]
        let named = shares.filter { $0.1 > 0 }.map { "\($0.0): \($0.1)" }
        return "{\(named.joined(separator: ", "))}"
    }

    private static func fault(_ fault: FaultPlan) -> [Entry] {
        let standard = FaultPlan(fault.name)
        let shape = fault.name.shape
        var entries: [Entry] = [("kind", fault.name.rawValue)]
        entries += entry("at", fault.atMicroseconds, standard.atMicroseconds, .time)
        if shape.lasts {
            entries += entry("for", fault.lastsMicroseconds, standard.lastsMicroseconds, .time)
        }
        entries += entry("times", fault.times, standard.times, .count)
        if let drive = fault.drive { entries.append(("drive", "\(drive)")) }
        if let client = fault.client { entries.append(("client", "\(client)")) }
        if let amount = shape.amount {
            entries += entry(
                amount.key, fault.amount, standard.amount, FaultSections.unit(amount.unit))
        }
        if let key = shape.choiceKey, let choice = fault.choice { entries.append((key, choice)) }
        return entries
    }

    /// Always there: a scenario must say what it takes to prove anything.
    private static func minimum(_ minimum: Minimum) -> [Entry] {
        var entries: [Entry] = [("requests", "\(minimum.requests)")]
        if minimum.faults > 0 { entries.append(("faults", "\(minimum.faults)")) }
        let felt = minimum.felt.map { "\($0.0.rawValue): \($0.1)" }
        if !felt.isEmpty { entries.append(("felt", "{\(felt.joined(separator: ", "))}")) }
        return entries
    }

    private static func bounds(_ bounds: Bounds) -> [Entry] {
        let standard = Bounds()
        var entries = entry(
            "misses_per_mille", bounds.missesPerMille, standard.missesPerMille, .count)
        entries += entry(
            "refusals_per_mille", bounds.refusalsPerMille, standard.refusalsPerMille, .count)
        if let emptied = bounds.emptiedDrives { entries.append(("emptied_drives", "\(emptied)")) }
        return entries
    }

    private static func expected(_ expectation: Expectation) -> [Entry] {
        switch expectation {
        case .health(let health, let within):
            [("health", health.rawValue), ("within", ScenarioUnit.time.write(within))]
        case .recovery(let within):
            [("healthy_again_within", ScenarioUnit.time.write(within))]
        case .throughput(let percent):
            [("throughput_at_least", ScenarioUnit.percent.write(percent))]
        case .latency(let percent): [("p99_at_most", ScenarioUnit.percent.write(percent))]
        case .othersThroughput(let percent):
            [("others_throughput_at_least", ScenarioUnit.percent.write(percent))]
        case .othersLatency(let percent):
            [("others_p99_at_most", ScenarioUnit.percent.write(percent))]
        case .median(let within): [("median_within", ScenarioUnit.time.write(within))]
        case .tail(let within): [("p99_within", ScenarioUnit.time.write(within))]
        case .damageFound(let within):
            [("damage_found_within", ScenarioUnit.time.write(within))]
        case .remoteAgain(let within):
            [("remote_again_within", ScenarioUnit.time.write(within))]
        }
    }
}
