// BenchCell: what a run has to say of one operation of one load: sums over its rounds, what follows
// from them, and the rounds themselves.
//
// Always holds: the sums are those of the rounds; a quantile is told from as many samples as it
// needs.

import Foundation
import Histogram

/// One operation of one load.
struct BenchCell: Encodable {
    enum Operation: String, Encodable { case put, get, exists }

    struct Latency: Encodable {
        let p50: Measured<UInt64>
        let p99: Measured<UInt64>
        let p999: Measured<UInt64>
        let max: Measured<UInt64>
        /// Each value that was recorded, to three digits, and how often.
        let counts: [[UInt64]]
    }

    let operation: Operation
    /// Of one value; 0 for exists, which moves none.
    let valueBytes: Int
    let batchKeys: Int
    let inFlight: Int
    let connections: Int
    let requests: UInt64
    let keys: UInt64
    let misses: UInt64
    let bytes: UInt64
    let nanoseconds: UInt64
    let requestsPerSecond: Measured<Double>
    let keysPerSecond: Measured<Double>
    let bytesPerSecond: Measured<Double>
    let latencyNanoseconds: Latency
    let clientProcessorNanoseconds: Measured<UInt64>
    let serverProcessorNanoseconds: Measured<UInt64>
    let clientProcessorSecondsPerGib: Measured<Double>
    let serverProcessorSecondsPerGib: Measured<Double>
    let keysPerServerProcessorSecond: Measured<Double>
    let writtenBytes: Measured<UInt64>
    let writtenBytesPerAcknowledgedByte: Measured<Double>
    let flushes: Measured<UInt64>
    let flushesPerAcknowledgedGib: Measured<Double>
    /// The same, round by round: what the sums above were made of.
    let rounds: [Round]

    /// What one round measured.
    struct Round: Encodable {
        /// From 0.
        let round: Int
        let requests: UInt64
        let bytes: UInt64
        let keys: UInt64
        let nanoseconds: UInt64
        let p50Nanoseconds: Measured<UInt64>
        let p99Nanoseconds: Measured<UInt64>
        let clientProcessorNanoseconds: Measured<UInt64>
        let serverProcessorNanoseconds: Measured<UInt64>
    }
}

extension BenchCell {
    private static let gibibyte = Double(1 << 30)

    /// One round or more.
    init(_ measured: BenchCellRounds, drives: Measured<[String]>) {
        guard let first = measured.rounds.first else {
            preconditionFailure("a cell that was never measured")
        }
        var counts = first.counts
        var kernel = first.kernel
        for round in measured.rounds.dropFirst() {
            counts.add(round.counts)
            kernel = kernel.adding(round.kernel)
        }
        self.init(
            measured.operation, of: measured.load, counts, kernel, drives: drives,
            rounds: measured.rounds.map(Round.init))
    }

    private init(
        _ operation: Operation, of load: BenchLoad, _ counts: LoopCounts, _ kernel: KernelReading,
        drives: Measured<[String]>, rounds: [Round]
    ) {
        self.rounds = rounds
        self.operation = operation
        switch load.kind {
        case .blocks(let bytes): (valueBytes, batchKeys) = (bytes, 1)
        case .exists(let keys): (valueBytes, batchKeys) = (0, keys)
        }
        inFlight = load.inFlight
        connections = load.connections
        requests = counts.requests
        keys = counts.keys
        misses = counts.misses
        bytes = counts.bytes
        nanoseconds = counts.nanoseconds
        let seconds = Double(counts.nanoseconds) / 1e9
        let gib = Double(counts.bytes) / Self.gibibyte
        requestsPerSecond = Self.ratio(Double(counts.requests), seconds, "no request ended")
        keysPerSecond = Self.ratio(Double(counts.keys), seconds, "no request ended")
        let noBytes =
            operation == .exists ? "exists moves no values" : "no value was moved"
        bytesPerSecond =
            counts.bytes == 0
            ? .notMeasured(noBytes) : Self.ratio(Double(counts.bytes), seconds, noBytes)
        latencyNanoseconds = Latency(counts.latencies)
        clientProcessorNanoseconds = kernel.clientProcessor
        serverProcessorNanoseconds = kernel.serverProcessor
        clientProcessorSecondsPerGib = kernel.clientProcessor.over(gib * 1e9, noBytes)
        serverProcessorSecondsPerGib = kernel.serverProcessor.over(gib * 1e9, noBytes)
        keysPerServerProcessorSecond = kernel.serverProcessor.flatMap { nanoseconds in
            Self.ratio(
                Double(counts.keys), Double(nanoseconds) / 1e9,
                "the server's clock of processor time didn't move")
        }
        guard operation == .put else {
            let reason = "only puts are held against what is written"
            writtenBytes = .notMeasured(reason)
            writtenBytesPerAcknowledgedByte = .notMeasured(reason)
            flushes = .notMeasured(reason)
            flushesPerAcknowledgedGib = .notMeasured(reason)
            return
        }
        writtenBytes = Self.believable(kernel.writtenBytes, drives)
        writtenBytesPerAcknowledgedByte = writtenBytes.over(Double(counts.bytes), noBytes)
        flushes = kernel.flushes
        flushesPerAcknowledgedGib = kernel.flushes.over(gib, noBytes)
    }

    /// Puts without a written byte mean that the kernel doesn't count where they go.
    private static func believable(
        _ written: Measured<UInt64>, _ drives: Measured<[String]>
    ) -> Measured<UInt64> {
        guard written == .value(0) else { return written }
        if drives == .value([DriveCounters.memoryDrive]) {
            return .notMeasured("memory mode writes to no drive")
        }
        return .notMeasured(
            "the kernel counted no write to storage: the drives lie in memory, or it counts "
                + "nothing there")
    }

    private static func ratio(
        _ value: Double, _ divisor: Double, _ otherwise: String
    ) -> Measured<Double> {
        divisor > 0 ? .value(value / divisor) : .notMeasured(otherwise)
    }
}

extension BenchCell.Round {
    init(_ round: BenchRound) {
        let latency = BenchCell.Latency(round.counts.latencies)
        self.init(
            round: round.number, requests: round.counts.requests, bytes: round.counts.bytes,
            keys: round.counts.keys, nanoseconds: round.counts.nanoseconds,
            p50Nanoseconds: latency.p50, p99Nanoseconds: latency.p99,
            clientProcessorNanoseconds: round.kernel.clientProcessor,
            serverProcessorNanoseconds: round.kernel.serverProcessor)
    }
}

extension BenchCell.Latency {
    /// A quantile is told from as many samples as leave one above it.
    init(_ latencies: Histogram<UInt64>) {
        func quantile(_ percent: Double, samplesNeeded: UInt64) -> Measured<UInt64> {
            latencies.totalCount >= samplesNeeded
                ? .value(latencies.valueAtPercentile(percent))
                : .notMeasured("fewer than \(samplesNeeded) samples")
        }
        p50 = quantile(50, samplesNeeded: 2)
        p99 = quantile(99, samplesNeeded: 100)
        p999 = quantile(99.9, samplesNeeded: 1000)
        max = quantile(100, samplesNeeded: 1)
        counts = latencies.recordedValues().map { [$0.value, $0.count] }
    }
}
