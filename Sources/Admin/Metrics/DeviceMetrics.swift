// DeviceMetrics: one sample for each drive, labelled with its path, and the sums over all of them.

internal import Engine

enum DeviceMetrics {
    static let families: [MetricFamily] = contract + beyond

    private static let contract: [MetricFamily] = [
        perDevice("memkv_device_slots_used", .gauge, "Allocated slots, in slots of the block size.")
        { $0.value(.slotsAllocated) },
        perDevice("memkv_device_capacity_raw_bytes", .gauge, "The drive's size.") {
            $0.value(.rawBytes)
        },
        perDevice(
            "memkv_device_capacity_usable_bytes", .gauge,
            "Bytes for blocks: the drive's size less the store's own structures."
        ) { $0.value(.usableBytes) },
        perDevice("memkv_device_bytes_used", .gauge, "Bytes of the slots that hold blocks.") {
            $0.value(.usedBytes)
        },
        .gauge("memkv_storage_raw_bytes", "Sum of the drives' sizes.") { $0.sum(.rawBytes) },
        .gauge("memkv_storage_usable_bytes", "Sum of the drives' bytes for blocks.") {
            $0.sum(.usableBytes)
        },
        .gauge("memkv_storage_used_bytes", "Sum of the bytes of slots that hold blocks.") {
            $0.sum(.usedBytes)
        },
        perDevice("memkv_trim_extents_total", .counter, "Extents trimmed.") {
            $0.value(.trimExtents)
        },
        perDevice("memkv_trim_bytes_total", .counter, "Bytes trimmed.") { $0.value(.trimBytes) },
        timings("memkv_trim_latency_us", "A trim, in microseconds.", .drives, [(nil, .trim)]),
        perDevice("memkv_trim_errors_total", .counter, "Trims that failed.") {
            $0.value(.trimErrors)
        },
        .gauge("memkv_trim_pending", "Freed extents that aren't allocatable again yet.") {
            $0.sum(.trimPending)
        },
    ]

    private static let beyond: [MetricFamily] = [
        byWord("memkv_device_state", .gauge, "1 for the state that the drive is in.", by: "state") {
            drive in
            ["online", "degraded", "recovering", "offline", "absent"].map {
                ($0, UInt64(drive.condition.word == $0 ? 1 : 0))
            }
        },
        timings(
            "memkv_device_latency_seconds", "What the drive takes, by what it does.",
            HistogramScale.drives.inSeconds,
            [("read", .read), ("write", .write), ("flush", .flush)]),
        byWord("memkv_device_bytes_total", .counter, "Bytes moved.", by: "action") {
            [
                ("read", $0.cells.value(DriveCounter.bytesRead)),
                ("write", $0.cells.value(DriveCounter.bytesWritten)),
            ]
        },
        byWord("memkv_device_errors_total", .counter, "Operations that failed.", by: "action") {
            [
                ("read", $0.cells.value(.readErrors)), ("write", $0.cells.value(.writeErrors)),
                ("flush", $0.cells.value(.flushErrors)),
            ]
        },
        perDevice(
            "memkv_device_media_errors_total", .counter, "Reads that single places refused."
        ) { $0.value(.mediaErrors) },
        perDevice(
            "memkv_device_file_system_full_total", .counter,
            "Writes that the file system under the drive had no room for."
        ) { $0.value(.fileSystemFull) },
        perDevice(
            "memkv_device_quarantined_slots_total", .counter,
            "Slots taken out of use because their bytes were damaged."
        ) { $0.value(.quarantinedSlots) },
        perDevice(
            "memkv_device_quarantined_bytes", .gauge, "Bytes of slots that are out of use."
        ) { $0.value(.quarantinedBytes) },
        perDevice("memkv_device_requests_in_hand", .gauge, "Requests that wait for the drive.") {
            $0.value(.operationsInHand)
        },
        byWord(
            "memkv_device_requests_shed_total", .counter, "Requests turned away.", by: "reason"
        ) {
            [
                ("stalled", $0.cells.value(.shedStalled)),
                ("unresponsive", $0.cells.value(.shedUnresponsive)),
                ("over_share", $0.cells.value(.shedOverShare)),
            ]
        },
        byWord(
            "memkv_device_damage_total", .counter, "Damaged structures found, by kind.", by: "kind"
        ) {
            [
                ("leaf", $0.cells.value(.damagedLeaves)), ("page", $0.cells.value(.damagedPages)),
                ("torn_payload", $0.cells.value(.recoveredTornPayloads)),
            ]
        },
        byWord(
            "memkv_device_repairs_total", .counter, "Damage repaired from a good copy.", by: "kind"
        ) {
            [
                ("journal", $0.cells.value(.journalRepairs)),
                ("superblock", $0.cells.value(.superblockRepairs)),
            ]
        },
        perDevice("memkv_device_recovered_records_total", .counter, "Journal records replayed.") {
            $0.value(.recoveredRecords)
        },
        perDevice(
            "memkv_device_returned_empty_total", .counter,
            "Recoveries that could trust nothing of what the drive held."
        ) { $0.value(.returnedEmpty) },
        perDevice("memkv_scrub_blocks_total", .counter, "Blocks that the scrub has read.") {
            $0.value(.scrubbedBlocks)
        },
        perDevice("memkv_scrub_bytes_total", .counter, "Bytes that the scrub has read.") {
            $0.value(.scrubbedBytes)
        },
        perDevice("memkv_scrub_findings_total", .counter, "Damage that the scrub has found.") {
            $0.value(.scrubFindings)
        },
        perDevice("memkv_scrub_turns_total", .counter, "Times the scrub has read all blocks.") {
            $0.value(.scrubTurns)
        },
        MetricFamily(
            name: "memkv_scrub_progress_ratio", kind: .gauge,
            help: "Share of the drive's blocks that the scrub's present turn has read."
        ) { reading in
            reading.drives.map {
                MetricSample(
                    labels: [("device", $0.path)],
                    value: .real(Double($0.cells.value(.scrubPermille)) / 1000))
            }
        },
    ]

    // MARK: Shapes

    private static func perDevice(
        _ name: String, _ kind: MetricKind, _ help: String,
        _ value: @escaping @Sendable (DriveReading) -> UInt64
    ) -> MetricFamily {
        .labelled(name, kind, help, by: "device") { reading in
            reading.drives.map { ($0.path, value($0.cells)) }
        }
    }

    /// Several samples for each drive, told apart by a second label.
    private static func byWord(
        _ name: String, _ kind: MetricKind, _ help: String, by label: String,
        _ values: @escaping @Sendable (DriveEntry) -> [(String, UInt64)]
    ) -> MetricFamily {
        MetricFamily(name: name, kind: kind, help: help) { reading in
            reading.drives.flatMap { drive in
                values(drive).map {
                    MetricSample(
                        labels: [("device", drive.path), (label, $0.0)], value: .whole($0.1))
                }
            }
        }
    }

    /// A histogram for each drive, or several told apart by `action`.
    private static func timings(
        _ name: String, _ help: String, _ scale: HistogramScale,
        _ parts: [(action: String?, timing: DriveTiming)]
    ) -> MetricFamily {
        MetricFamily(name: name, kind: .histogram, help: help) { reading in
            reading.drives.flatMap { drive in
                parts.map { part in
                    MetricSample(
                        labels: [("device", drive.path)]
                            + (part.action.map { [("action", $0)] } ?? []),
                        value: .histogram(drive.cells.histogram(part.timing), scale))
                }
            }
        }
    }
}
