// Readings: copies of cells, which stand still while somebody compares them with each other.
//
// Always holds: a value that nobody writes; the gauges of one reading were published together.

extension DriveCondition {
    /// From the gauges as `publish` sets them.
    init(stateCell: UInt64, impairmentsCell: UInt64, fenceCell: UInt64) {
        guard let state = DriveState(rawValue: UInt8(truncatingIfNeeded: stateCell)) else {
            preconditionFailure("a drive in no known state")
        }
        self.init(
            state: state,
            impairments: DriveImpairments(rawValue: UInt8(truncatingIfNeeded: impairmentsCell)),
            fence: FenceCause(encoded: fenceCell))
    }
}

extension HistogramSnapshot {
    /// No values.
    package static let empty = HistogramSnapshot(
        buckets: Array(repeating: 0, count: HistogramLayout.bucketCount), sum: 0)

    fileprivate init(_ values: [UInt64], at first: Int) {
        let end = first + HistogramLayout.bucketCount
        self.init(buckets: Array(values[first..<end]), sum: values[end])
    }
}

/// A drive's cells at one instant.
package struct DriveReading: Sendable {
    let values: [UInt64]
    /// False when the shard stood still in the middle of setting its gauges.
    package let isOfOneStep: Bool

    package func value(_ counter: DriveCounter) -> UInt64 { values[counter.rawValue] }
    package func value(_ gauge: DriveGauge) -> UInt64 {
        values[DriveCells.gauges + gauge.rawValue]
    }
    package func histogram(_ timing: DriveTiming) -> HistogramSnapshot {
        HistogramSnapshot(
            values, at: DriveCells.timings + timing.rawValue * HistogramLayout.cellCount)
    }
    /// How the drive is.
    package var condition: DriveCondition {
        DriveCondition(
            stateCell: value(DriveGauge.state), impairmentsCell: value(DriveGauge.impairments),
            fenceCell: value(DriveGauge.fenceCause))
    }
}

/// A shard's cells at one instant; its drives have readings of their own.
package struct ShardReading: Sendable {
    let values: [UInt64]

    package func value(_ counter: ShardCounter) -> UInt64 { values[counter.rawValue] }
    package func value(_ gauge: ShardGauge) -> UInt64 {
        values[ShardCells.gauges + gauge.rawValue]
    }
    package func histogram(_ timing: ShardTiming) -> HistogramSnapshot {
        HistogramSnapshot(
            values, at: ShardCells.timings + timing.rawValue * HistogramLayout.cellCount)
    }
}
