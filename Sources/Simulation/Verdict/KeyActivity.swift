// KeyActivity: what is under way on each key, to notice the encounters that a suite must have seen.

internal import Client
internal import Judgement
internal import Wire

/// The requests under way on every key.
struct KeyActivity {
    private struct Row {
        var reads: UInt32 = 0
        var puts: UInt32 = 0
        var lastLengthBytes: UInt32 = 0
        var isDeleted = false
    }
    private var rows: [Row]
    private let blockSizeBytes: UInt32

    init(keyCount: Int, blockSizeBytes: UInt32) {
        rows = Array(repeating: Row(), count: keyCount)
        self.blockSizeBytes = blockSizeBytes
    }

    mutating func beginPut(_ key: Int, lengthBytes: UInt32, _ reached: inout ReachedStates) {
        if rows[key].reads > 0 {
            reached.insert(.overwriteDuringRead)
            reached.insert(
                .overwriteDuringLargeRead, if: rows[key].lastLengthBytes > blockSizeBytes)
        }
        reached.insert(.putsRace, if: rows[key].puts > 0)
        reached.insert(.deletedAndPutAgain, if: rows[key].isDeleted)
        rows[key].puts += 1
        rows[key].isDeleted = false
        rows[key].lastLengthBytes = lengthBytes
    }

    mutating func beginDelete(_ key: Int, _ reached: inout ReachedStates) {
        reached.insert(.deleteDuringPut, if: rows[key].puts > 0)
        rows[key].isDeleted = true
    }

    mutating func beginRead(_ key: Int) { rows[key].reads += 1 }

    mutating func end(_ item: WorkloadItem) {
        if item.name != nil {
            rows[item.key].puts -= 1
        } else if item.request == 0 {
            rows[item.key].reads -= 1
        }
    }
}

extension World {
    /// A request has ended: what was interesting about it?
    func noteEnd(_ operation: WorkloadOperation, _ outcome: RequestOutcome, missing: Int) {
        let statuses = outcome.items.map(\.status)
        switch operation {
        case .getBatch:
            reached.insert(
                .batchPartlyThere, if: missing > 0 && missing < outcome.items.count)
        case .putBatch, .deleteBatch:
            let away = statuses.count { $0 == .ended(.driveUnavailable) }
            reached.insert(.batchAcrossDrives, if: away > 0 && away < statuses.count)
        case .put:
            guard outcome.status == .ended(.outcomeUnknown) else { break }
            reached.insert(.deadlineDuringPut)
            reached.insert(.stalledFlushOutlasted, if: faults.isActive(.flushStall))
        case .get, .delete, .exists, .stat: break
        }
    }
}
