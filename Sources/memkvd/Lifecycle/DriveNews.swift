// DriveNews: what has changed about the drives since somebody looked last, from the cells that
// their shards publish.
//
// Always holds: a shard's thread has no part in it, so that telling costs it nothing; a change is
// told once; what recovery found is where the changes of a shard begin.

#if IOUring

internal import Engine
private import Synchronization

/// A change that an operator should hear of.
enum DriveChange: Sendable {
    case condition(DriveCondition)
    /// For the first time, the file system under the drive had no room for a block.
    case fileSystemFull
}

/// The news of every shard's drives.
final class DriveNews: Sendable {
    private struct Seen: Sendable {
        var condition: DriveCondition
        var isFileSystemFull = false
    }

    private let cells: [[DriveCells]]
    /// Shard by shard; empty until the shard serves.
    private let seen: Mutex<[[Seen]]>

    init(_ cells: [[DriveCells]]) {
        self.cells = cells
        seen = Mutex(cells.map { _ in [] })
    }

    /// `shard` serves: what its drives are now has been told.
    func begin(_ shard: Int) {
        let now = cells[shard].map { Seen(condition: $0.reading().condition) }
        seen.withLock { $0[shard] = now }
    }

    /// The changes since the last time, each with its shard and its drive's place there.
    func take() -> [(shard: Int, drive: Int, change: DriveChange)] {
        seen.withLock { seen in
            var changes: [(Int, Int, DriveChange)] = []
            for shard in seen.indices {
                for drive in seen[shard].indices {
                    let reading = cells[shard][drive].reading()
                    guard reading.isOfOneStep else { continue }
                    if reading.value(DriveCounter.fileSystemFull) > 0,
                        !seen[shard][drive].isFileSystemFull
                    {
                        seen[shard][drive].isFileSystemFull = true
                        changes.append((shard, drive, .fileSystemFull))
                    }
                    let condition = reading.condition
                    if condition == seen[shard][drive].condition { continue }
                    seen[shard][drive].condition = condition
                    // That a drive isn't there was said when the drives were opened.
                    if condition.state == .absent || condition.state == .recovering { continue }
                    changes.append((shard, drive, .condition(condition)))
                }
            }
            return changes
        }
    }
}

#endif
