// BenchReport: a run's result as JSON, the schema that Docs/benchmark.md describes.
//
// Always holds: a field keeps its name and meaning within a schema number; what wasn't measured is
// an object with the reason in a number's place; ratios stand beside the counts they come from.

import Client
import Foundation
import Histogram
import Wire

struct BenchReport: Encodable {
    static let schemaName = "memkv-bench/1"

    struct Programs: Encodable {
        let version: String
        let workingCopyCommit: Measured<String>
    }

    struct Servers: Encodable {
        let addresses: [String]
        let startedByBench: Bool
        let processes: [Measured<Int32>]
        let drives: Measured<[String]>
    }

    struct Method: Encodable {
        let loop = "closed"
        let latency = "submission to verified answer, hashing and waiting in the client included"
        let coordinatedOmission = "not corrected: the next request is sent when one has ended"
        let warmUpMicroseconds: UInt64
        let measuredMicroseconds: UInt64
        let storedBytesLimit: UInt64
    }

    /// A load that wasn't run.
    struct Skipped: Encodable {
        let load: String
        let reason: String
    }

    let schema = BenchReport.schemaName
    let startedAt: String
    var endedAt: String
    let profile: String
    let seed: String
    let program: Programs
    let servers: Servers
    let machine: MachineFacts
    let loadAtStart: Measured<Double>
    var loadAtEnd: Measured<Double>
    let method: Method
    var cells: [BenchCell] = []
    var skipped: [Skipped] = []

    /// One line of JSON, keys sorted.
    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }

    init(
        profile: BenchProfile, seed: UInt64, servers: [ServerAddress], startedByBench: Bool,
        _ observed: ObservedServers
    ) {
        startedAt = Self.timestamp()
        endedAt = startedAt
        self.profile = profile.rawValue
        self.seed = String(seed)
        program = Programs(
            version: ProductVersion.current, workingCopyCommit: MachineFacts.workingCopyCommit)
        self.servers = Servers(
            addresses: servers.map(\.description), startedByBench: startedByBench,
            processes: observed.processes, drives: observed.drives)
        machine = MachineFacts()
        loadAtStart = MachineFacts.load
        loadAtEnd = loadAtStart
        method = Method(
            warmUpMicroseconds: profile.warmUpMicroseconds,
            measuredMicroseconds: profile.measuredMicroseconds,
            storedBytesLimit: profile.storedBytesLimit)
    }

    /// Everything has been measured.
    mutating func end() {
        endedAt = Self.timestamp()
        loadAtEnd = MachineFacts.load
    }

    private static func timestamp() -> String { Date().formatted(.iso8601) }
}

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
}

extension BenchCell {
    private static let gibibyte = Double(1 << 30)

    init(
        _ operation: Operation, of load: BenchLoad, _ counts: LoopCounts, _ kernel: KernelReading,
        drives: Measured<[String]>
    ) {
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

extension Measured where Value == UInt64 {
    func over(_ divisor: Double, _ otherwise: String) -> Measured<Double> {
        flatMap { divisor > 0 ? .value(Double($0) / divisor) : .notMeasured(otherwise) }
    }

    func flatMap(_ transform: (UInt64) -> Measured<Double>) -> Measured<Double> {
        switch self {
        case .value(let value): transform(value)
        case .notMeasured(let reason): .notMeasured(reason)
        }
    }
}
