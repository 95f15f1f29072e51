// What an operator or a test may ask of a store that it otherwise does by itself.

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Begins a checkpoint of every online drive that has none in progress.
    package mutating func requestCheckpoint() {}

    /// Evicts until at least `bytes` of slots have become free, or nothing is left to evict.
    package mutating func requestEviction(bytes: ByteCount) {}
}
