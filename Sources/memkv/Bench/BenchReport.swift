// BenchReport: a run's result as JSON, the schema that Docs/benchmark.md describes.
//
// Always holds: a field keeps its name and meaning within a schema number; what wasn't measured is
// an object with the reason in a number's place; ratios stand beside the counts they come from.

import Client
import Foundation
import Histogram
import Wire

struct BenchReport: Encodable {
    static let schemaName = "memkv-bench/2"

    struct Programs: Encodable {
        let version: String
        let workingCopyCommit: Measured<String>
    }

    struct Servers: Encodable {
        let addresses: [String]
        let startedByBench: Bool
        /// Of the memkvd that was started: its file, and the commit of the working copy it lies in.
        let memkvd: Measured<String>
        let workingCopyCommit: Measured<String>
        let processes: [Measured<Int32>]
        let drives: Measured<[String]>
    }

    struct Method: Encodable {
        let loop = "closed"
        let latency = "submission to verified answer, hashing and waiting in the client included"
        let coordinatedOmission = "not corrected: the next request is sent when one has ended"
        let rounds: Int
        let firstWarmUpMicroseconds: UInt64
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
    /// What other programs took of all processors during the run, from 0 to 1.
    var processorsBusyElsewhere: Measured<Double>
    let method: Method
    let cells: [BenchCell]
    let skipped: [Skipped]
    /// Its number in the history.
    var recordedAsRun: Measured<Int64> = .notMeasured("--no-record was given")

    /// One line of JSON, keys sorted.
    func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }

    init(
        profile: BenchProfile, seed: UInt64, subject: BenchSubject, memkvd: String?,
        skipped: [Skipped], _ begin: BenchMoment, _ end: BenchMoment
    ) {
        startedAt = begin.date.formatted(.iso8601)
        endedAt = end.date.formatted(.iso8601)
        self.profile = profile.rawValue
        self.seed = String(seed)
        program = Programs(
            version: ProductVersion.current,
            workingCopyCommit: MachineFacts.commit(ofFolder: MachineFacts.programFolder.path))
        servers = Servers(
            addresses: subject.servers.map(\.description), startedByBench: memkvd != nil,
            memkvd: memkvd.map { .value($0) }
                ?? .notMeasured("the server ran already"),
            workingCopyCommit: memkvd.map {
                MachineFacts.commit(
                    ofFolder: URL(fileURLWithPath: $0).deletingLastPathComponent().path)
            } ?? .notMeasured("the server ran already"),
            processes: subject.observed.processes, drives: subject.observed.drives)
        machine = MachineFacts()
        loadAtStart = begin.load
        loadAtEnd = end.load
        processorsBusyElsewhere = end.busyElsewhere(since: begin)
        method = Method(
            rounds: profile.rounds, firstWarmUpMicroseconds: profile.firstWarmUpMicroseconds,
            warmUpMicroseconds: profile.warmUpMicroseconds,
            measuredMicroseconds: profile.measuredMicroseconds,
            storedBytesLimit: profile.storedBytesLimit)
        cells = subject.cells.map { BenchCell($0, drives: subject.observed.drives) }
        self.skipped = skipped
    }
}
