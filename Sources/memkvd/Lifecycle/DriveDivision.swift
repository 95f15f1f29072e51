// DriveDivision: which shard has which drives: in turn, as the configuration lists them.
//
// Always holds: every drive has one shard and every shard a drive. Which shard a drive has means
// nothing to what is on it: another start may divide them otherwise.

/// The drives of each shard, by their places in the configuration.
struct DriveDivision: Sendable {
    let shards: [[Int]]

    init(driveCount: Int, shardCount: Int) {
        precondition(shardCount >= 1 && shardCount <= driveCount, "a shard without a drive")
        shards = (0..<shardCount).map { Array(stride(from: $0, to: driveCount, by: shardCount)) }
    }
}
