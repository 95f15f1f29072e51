// Importer: one thread reads and cuts files, several name the blocks, ask which are missing and
// store those.
//
//   buffer pool --reader--> queue --worker: exists, then puts--> buffer pool
//
// Always holds: memory is bounded by the pool; a block is called done only after the server's `ok`;
// the result is given only when every block is done.

import Client
import Foundation
import Synchronization
import Wire

final class Importer: Sendable {
    private struct Job: Sendable {
        let file: Int
        let block: Int
        let buffer: OwnedBytes
        let length: Int

        var bytes: SourceBytes { buffer.source(count: length) }
    }

    private struct Progress {
        var keys: [[Int: BlockKey]]
        var summary = TransferSummary(alreadyPresent: 0)
        /// Keys that this import has stored. A block that stands in the files twice can be under
        /// way twice before the server has it; it is stored once.
        var stored: Set<BlockKey> = []
    }

    private let settings: Settings
    private let connections: Int
    private let inFlight: Int
    private let clock: ProgressClock
    private let bar: ProgressBar
    private let pool = BlockingQueue<OwnedBytes>()
    private let jobs = BlockingQueue<Job>()
    private let failure = FirstFailure()
    private let progress = Mutex(Progress(keys: []))

    init(
        _ settings: Settings, blockBytes: Int, connections: Int, inFlight: Int, bar: ProgressBar
    ) {
        self.settings = settings
        self.connections = connections
        self.inFlight = inFlight
        self.bar = bar
        clock = ProgressClock(timeoutMicroseconds: settings.timeoutMicroseconds)
        // As many again as are under way, so that reading goes on meanwhile.
        for _ in 0..<(2 * connections * inFlight) { pool.add(OwnedBytes(count: blockBytes)) }
    }

    /// What was done so far; complete when `run` has returned.
    var summary: TransferSummary { progress.withLock { $0.summary } }

    /// Imports files, given as (name, path); returns their entries of a manifest.
    func run(_ files: [(name: String, path: String)]) throws(CommandFailure) -> [Manifest.File] {
        progress.withLock { $0.keys = Array(repeating: [:], count: files.count) }
        let workers = WorkerThreads.start(connections) { self.work() }
        var entries: [Manifest.File] = []
        do throws(CommandFailure) {
            for (index, file) in files.enumerated() {
                entries.append(try read(file, index: index))
            }
        } catch {
            stop(error)
        }
        jobs.close()
        workers.wait()
        try failure.rethrow()
        let keys = progress.withLock { $0.keys }
        for file in entries.indices {
            for block in entries[file].blocks.indices {
                guard let key = keys[file][block] else {
                    preconditionFailure("a block was forgotten")
                }
                entries[file].blocks[block].key = key.hexadecimal
            }
        }
        return entries
    }

    /// Cuts one file into jobs. The keys of its blocks are filled in by the workers.
    private func read(
        _ file: (name: String, path: String), index: Int
    ) throws(CommandFailure) -> Manifest.File {
        let input = try InputFile(path: file.path)
        var digest = StreamingDigest()
        var entry = Manifest.File(name: file.name, size: 0, sha256: "", blocks: [])
        while true {
            guard let buffer = pool.take(upTo: 1).first else { break }
            let length = try input.read(into: buffer.destination)
            guard length > 0 else {
                pool.add(buffer)
                break
            }
            digest.add(buffer.source(count: length))
            jobs.add(
                Job(file: index, block: entry.blocks.count, buffer: buffer, length: length))
            entry.blocks.append(Manifest.Block(key: "", length: UInt32(length)))
            entry.size += UInt64(length)
        }
        entry.sha256 = digest.hexadecimal()
        return entry
    }

    // MARK: Workers

    private func work() {
        let link = TransferLink(settings.client(), clock: clock)
        while true {
            let batch = jobs.take(upTo: inFlight)
            if batch.isEmpty { return }
            do throws(CommandFailure) {
                try store(batch, over: link)
            } catch {
                return stop(error)
            }
            for job in batch { pool.add(job.buffer) }
        }
    }

    private func store(_ batch: [Job], over link: TransferLink) throws(CommandFailure) {
        let keys = batch.map { BlockKey.sha256(of: $0.bytes, namespace: settings.namespace) }
        let found = try link.perform([.exists(keys)])[0]
        try check(found.status, "asking which blocks are there")
        let missing = batch.indices.filter { found.items[$0].status != .ok }
        let puts = try link.perform(
            missing.map { .put(PutItem(key: keys[$0], value: batch[$0].bytes)) })
        for (index, put) in zip(missing, puts) {
            try check(put.status, "block \(keys[index].hexadecimal)")
        }
        progress.withLock { progress in
            for (job, key) in zip(batch, keys) {
                progress.keys[job.file][job.block] = key
                progress.summary.bytes += UInt64(job.length)
            }
            let new = missing.count { progress.stored.insert(keys[$0]).inserted }
            progress.summary.blocks += new
            progress.summary.alreadyPresent? += batch.count - new
        }
        bar.advance(byBytes: batch.reduce(0) { $0 + UInt64($1.length) })
    }

    private func check(_ status: OutcomeStatus, _ subject: String) throws(CommandFailure) {
        guard case .ended(let status) = status else {
            preconditionFailure("an outcome that isn't final")
        }
        guard status != .ok else { return }
        throw CommandFailure(
            CommandFailure.exitStatus(for: status),
            "\(subject): \(CommandFailure.sentence(for: status)); no manifest was written")
    }

    /// Ends the whole import: the reader and the other workers find nothing more to take.
    private func stop(_ reason: CommandFailure) {
        failure.record(reason)
        jobs.close(discarding: true)
        pool.close(discarding: true)
    }
}
