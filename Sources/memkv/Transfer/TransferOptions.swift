// Options that import and export share, and the line or JSON value that both end with.

import ArgumentParser
import Client

struct TransferOptions: ParsableArguments {
    @Option(help: "Connections to each server, a thread each.")
    var connections = 4

    @Option(help: "Blocks under way at once on each connection.")
    var inFlight = 4

    func validate() throws {
        guard (1...64).contains(connections) else {
            throw ValidationError("--connections must lie between 1 and 64")
        }
        guard (1...64).contains(inFlight) else {
            throw ValidationError("--in-flight must lie between 1 and 64")
        }
    }
}

/// What a transfer did, and how fast.
struct TransferSummary: Encodable {
    var blocks = 0
    /// Blocks that an import found on the server; nil for an export.
    var alreadyPresent: Int?
    var bytes: UInt64 = 0
    var seconds = 0.0
    var mebibytesPerSecond = 0.0

    private enum CodingKeys: String, CodingKey {
        case blocks, bytes, seconds
        case alreadyPresent = "already_present"
        case mebibytesPerSecond = "mib_per_second"
    }

    mutating func measure(since start: MonotonicTime) {
        let microseconds = Double(max(1, BlockingClient.now.microseconds(since: start)))
        seconds = (microseconds / 1000).rounded() / 1000
        mebibytesPerSecond =
            (Double(bytes) / 1_048_576 / (microseconds / 1_000_000) * 10).rounded() / 10
    }

    func show(verb: String, json: Bool) throws {
        if json { return try Terminal.json(self) }
        let present = alreadyPresent.map { ", \($0) already present" } ?? ""
        Terminal.print(
            "\(blocks) blocks \(verb)\(present), \(bytes) bytes in \(seconds) s, "
                + "\(mebibytesPerSecond) MiB/s")
    }
}
