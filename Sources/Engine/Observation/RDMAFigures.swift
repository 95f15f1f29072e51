// RDMAFigures: what a shard's RDMA transport writes into its shard's cells.
//
// Always holds: written on the shard's thread, like every other cell of the shard.

extension ShardCells {
    /// Failed posts and completions.
    package func countRDMAError() { add(to: .rdmaErrors) }

    /// How many connections there are.
    package func setRDMA(connections: Int) {
        beginPublication()
        set(.rdmaConnections, to: UInt64(connections))
        endPublication()
    }

    /// A transfer from a client's memory, from its first post to its last completion.
    package func recordRDMARead(microseconds: UInt64) { record(microseconds, in: .rdmaRead) }

    /// The same to a client's memory.
    package func recordRDMAWrite(microseconds: UInt64) { record(microseconds, in: .rdmaWrite) }
}
