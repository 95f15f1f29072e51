// Exporter: several threads fetch one file's blocks, verify them and write each at its place.
//
// Always holds: a byte is written only after its block's SHA-256 was found equal to its key; the
// file gets its name only after the whole, read back, has the SHA-256 that the manifest gives.

import Client
import Foundation
import Wire

final class Exporter: Sendable {
    private struct Job: Sendable {
        let key: BlockKey
        let index: Int
        let length: Int
        let offset: UInt64
    }

    private let file: Manifest.File
    private let target: OutputFile
    private let settings: Settings
    private let blockBytes: Int
    private let inFlight: Int
    private let clock: ProgressClock
    private let bar: ProgressBar
    private let jobs = BlockingQueue<Job>()
    private let failure = FirstFailure()

    init(
        _ settings: Settings, file: Manifest.File, target: String, namespace: Namespace,
        blockBytes: Int, inFlight: Int, bar: ProgressBar
    ) throws(CommandFailure) {
        self.file = file
        self.target = try OutputFile(path: target)
        self.settings = settings
        self.blockBytes = blockBytes
        self.inFlight = inFlight
        self.bar = bar
        clock = ProgressClock(timeoutMicroseconds: settings.timeoutMicroseconds)
        var offset: UInt64 = 0
        for (index, block) in file.blocks.enumerated() {
            guard let key = BlockKey(namespace: namespace, hexadecimal: block.key) else {
                preconditionFailure("a manifest that wasn't checked")
            }
            jobs.add(Job(key: key, index: index, length: Int(block.length), offset: offset))
            offset += UInt64(block.length)
        }
        jobs.close()
    }

    /// Fetches, verifies, writes, and gives the file its name.
    func run(connections: Int) throws(CommandFailure) {
        WorkerThreads.start(min(connections, max(1, file.blocks.count))) { self.work() }.wait()
        do throws(CommandFailure) {
            try failure.rethrow()
            try verifyWhole()
            try target.finish()
        } catch {
            target.discard()
            throw error
        }
    }

    private func work() {
        let link = TransferLink(settings.client(), clock: clock)
        let buffers = (0..<inFlight).map { _ in OwnedBytes(count: blockBytes) }
        while true {
            let batch = jobs.take(upTo: inFlight)
            if batch.isEmpty { return }
            do throws(CommandFailure) {
                try restore(batch, into: buffers, over: link)
            } catch {
                failure.record(error)
                return jobs.close(discarding: true)
            }
        }
    }

    private func restore(
        _ batch: [Job], into buffers: [OwnedBytes], over link: TransferLink
    ) throws(CommandFailure) {
        let outcomes = try link.perform(
            zip(batch, buffers).map { job, buffer in
                .get(
                    GetItem(
                        key: job.key,
                        destination: buffer.destination.slice(from: 0, count: job.length)))
            })
        for (job, (outcome, buffer)) in zip(batch, zip(outcomes, buffers)) {
            try check(outcome, of: job)
            let bytes = buffer.source(count: job.length)
            guard BlockKey.sha256(of: bytes, namespace: job.key.namespace) == job.key else {
                throw damaged(job, "its bytes don't have that SHA-256")
            }
            try target.write(bytes, at: job.offset)
            bar.advance(byBytes: UInt64(job.length))
        }
    }

    private func check(_ outcome: RequestOutcome, of job: Job) throws(CommandFailure) {
        switch outcome.status {
        case .ended(.ok):
            guard Int(outcome.valueBytes) == job.length else {
                throw damaged(
                    job, "it has \(outcome.valueBytes) bytes, the manifest says \(job.length)")
            }
        case .ended(let status):
            throw CommandFailure(
                CommandFailure.exitStatus(for: status),
                "\(name(of: job)): \(CommandFailure.sentence(for: status)); nothing was written")
        case .bufferTooSmall(let needed):
            throw damaged(job, "it has \(needed) bytes, the manifest says \(job.length)")
        case .connectionLost, .serverUnavailable:
            preconditionFailure("an outcome that isn't final")
        }
    }

    private func name(of job: Job) -> String {
        "block \(job.key.hexadecimal) (number \(job.index) of '\(file.name)')"
    }

    private func damaged(_ job: Job, _ what: String) -> CommandFailure {
        CommandFailure(.damaged, "\(name(of: job)) is damaged: \(what); nothing was written")
    }

    private func verifyWhole() throws(CommandFailure) {
        let written = try InputFile(path: target.temporaryPath)
        let buffer = OwnedBytes(count: 1 << 20)
        var digest = StreamingDigest()
        while true {
            let count = try written.read(into: buffer.destination)
            if count == 0 { break }
            digest.add(buffer.source(count: count))
        }
        let actual = digest.hexadecimal()
        guard actual == file.sha256.lowercased() else {
            throw CommandFailure(
                .damaged,
                "'\(file.name)' has SHA-256 \(actual), the manifest says \(file.sha256); "
                    + "nothing was written")
        }
    }
}
