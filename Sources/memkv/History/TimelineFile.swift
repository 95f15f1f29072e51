// TimelineFile: the page with a simulation's timeline, written where the user wants it.

import Foundation
import History

enum TimelineFile {
    /// Refuses a benchmark, which has no simulated time to be drawn over.
    static func write(_ record: RunRecord, to path: String) throws(CommandFailure) {
        guard record.facts.kind == .sim else {
            throw CommandFailure(.usage, "--html draws simulations, and this run is a benchmark")
        }
        do {
            try Data(RunPicture.html(of: record).utf8).write(
                to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw CommandFailure(
                .usage, "\(path) can't be written: \(error.localizedDescription)")
        }
    }
}
