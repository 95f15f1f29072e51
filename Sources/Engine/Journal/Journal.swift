// Journal: the writing half: records into blocks, blocks into both copies, in order.
//
// Always holds: start ≤ settled + 1, settled ≤ durable ≤ written < next. A block is *written* when
// both copies of it and of every block before it have completed; *durable* when a flush that was
// submitted after that has succeeded; *settled* when it is durable and so is every payload that its
// records speak of (or the record is void). A block's place in the ring is used again only after a
// checkpoint has moved `start` past it. Refuses, by `canStage`, what the ring has no room for; puts
// leave the last eighth to removals, these the last blocks to voids.

/// One drive's journal.
struct Journal: ~Copyable {
    /// Blocks of memory: how many blocks may be on their way to the drive at once, and one more.
    static let bufferCount = 16
    /// Sealed blocks in flight beyond which records gather in the open block instead.
    private static let eagerBlocks = 4

    enum BufferState {
        case free
        case open
        case writing(JournalSequence, copiesLeft: Int)
    }

    struct BlockState {
        var isWritten = false
        var unsettledPayloads: UInt32 = 0
        var payloadBytes: UInt64 = 0
    }

    private let arena: Arena
    private let memory: ArenaRange
    private let driveIDLow: UInt64
    private let blockCount: UInt64
    private var incarnation: UInt32
    private var buffers: FixedArray<BufferState>
    private var blocks: FixedArray<BlockState>
    private var openBuffer: Int?
    private var openWords = 0
    private var sealed: RingQueue<Int>
    private var chain: UInt64

    /// The oldest block that a recovery would have to read.
    private(set) var start: JournalSequence
    /// The block that is open or will be opened next.
    private(set) var next: JournalSequence
    private(set) var written: JournalSequence
    private(set) var durable: JournalSequence
    private(set) var settled: JournalSequence
    /// Checksum of the last settled block: what the block after it must carry.
    private(set) var settledChain: UInt64
    private var chains: FixedArray<UInt64>
    /// Records staged and not yet durable.
    private(set) var pendingRecords = 0
    private var recordsInBlock: FixedArray<UInt32>
    /// Payload bytes in blocks that are not settled: what a recovery would verify.
    private(set) var unsettledPayloadBytes: UInt64 = 0

    static var memoryBytes: ByteCount {
        ByteCount(UInt64(bufferCount) * FormatConstants.journalBlockBytes)
    }

    /// A journal whose last block is `last`, settled; the next one chains to `chain`.
    init(
        arena: Arena, memory: ArenaRange, superblock: Superblock, start: JournalSequence,
        last: JournalSequence, chain: UInt64
    ) {
        self.arena = arena
        self.memory = memory
        driveIDLow = superblock.driveID.low
        incarnation = superblock.incarnation
        blockCount = UInt64(superblock.layout.journalBlocks)
        buffers = FixedArray(count: Self.bufferCount) { _ in .free }
        blocks = FixedArray(count: Int(blockCount), repeating: BlockState())
        chains = FixedArray(count: Int(blockCount), repeating: 0)
        recordsInBlock = FixedArray(count: Int(blockCount), repeating: 0)
        sealed = RingQueue(capacity: Self.bufferCount)
        self.chain = chain
        settledChain = chain
        self.start = start
        next = last.next
        written = last
        durable = last
        settled = last
    }

    /// Blocks that can still be opened before the ring meets `start`.
    private var freeBlocks: UInt64 { blockCount - (next.rawValue - start.rawValue) }

    /// True when so much of the ring is in use that a checkpoint should begin.
    var wantsCheckpoint: Bool { freeBlocks < blockCount / 2 }

    /// True when blocks wait for nothing: all that was staged is durable.
    var isQuiet: Bool { pendingRecords == 0 }

    /// What a record is for: how far into the ring's last blocks it may go.
    enum Purpose {
        case put
        /// Removals go on when puts have to wait, so that a full drive can be emptied.
        case removal
        /// Declarations go on when all else has to wait: a checkpoint begins only when they are
        /// durable. There is one for each put in progress at most, and some 250 fit into a block.
        case void
    }

    /// True when a record of `words` can be staged now.
    func canStage(words: Int, for purpose: Purpose) -> Bool {
        if openBuffer != nil, openWords + words <= JournalBlockHeader.recordWords { return true }
        let needed = openBuffer == nil ? UInt64(1) : 2
        let reserve: UInt64 =
            switch purpose {
            case .put: max(6, blockCount / 8)
            case .removal: 4
            case .void: 0
            }
        guard freeBlocks >= needed + reserve else { return false }
        return freeBuffer() != nil
    }

    private func freeBuffer() -> Int? {
        for index in 0..<Self.bufferCount {
            if case .free = buffers[index] { return index }
        }
        return nil
    }

    /// Adds a record to the open block; the sequence of the block it is in. `canStage` was true.
    mutating func stage(_ record: JournalRecord) -> JournalSequence {
        let words = record.wordCount
        if openBuffer != nil, openWords + words > JournalBlockHeader.recordWords { sealOpen() }
        if openBuffer == nil { open() }
        guard let buffer = openBuffer else { preconditionFailure("no open journal block") }
        let place = place(of: buffer).advanced(
            by: UInt64(JournalBlockHeader.wordCount + openWords) * 8)
        record.encode { word, index in
            arena.storeWord(word, at: place.advanced(by: UInt64(index) * 8))
        }
        openWords += words
        pendingRecords += 1
        let block = ring(next)
        recordsInBlock[block] += 1
        if record.payloadBytes > 0 {
            blocks[block].unsettledPayloads += 1
            blocks[block].payloadBytes += record.payloadBytes
            unsettledPayloadBytes += record.payloadBytes
        }
        return next
    }

    private mutating func open() {
        guard let buffer = freeBuffer() else { preconditionFailure("no free journal buffer") }
        precondition(freeBlocks > 0, "the journal's ring is full")
        buffers[buffer] = .open
        blocks[ring(next)] = BlockState()
        recordsInBlock[ring(next)] = 0
        openBuffer = buffer
        openWords = 0
    }

    private mutating func sealOpen() {
        guard let buffer = openBuffer else { return }
        let header = JournalBlockHeader(
            driveIDLow: driveIDLow, incarnation: incarnation, sequence: next,
            previousChecksum: chain, durable: durable, settled: settled, usedWords: openWords)
        chain = header.seal(arena, at: place(of: buffer))
        chains[ring(next)] = chain
        buffers[buffer] = .writing(next, copiesLeft: 2)
        sealed.append(buffer)
        openBuffer = nil
        next = next.next
    }

    /// The next sealed block to submit to both copies, sealing the open one when few are in flight.
    mutating func takeSealed() -> (buffer: Int, sequence: JournalSequence, memory: ArenaRange)? {
        if sealed.isEmpty, openBuffer != nil, openWords > 0,
            next.rawValue - 1 - written.rawValue < UInt64(Self.eagerBlocks)
        {
            sealOpen()
        }
        guard let buffer = sealed.popFirst() else { return nil }
        guard case .writing(let sequence, _) = buffers[buffer] else {
            preconditionFailure("a sealed journal buffer that isn't being written")
        }
        return (buffer, sequence, JournalBlockHeader.range(at: place(of: buffer)))
    }

    /// One copy of the block in `buffer` has completed.
    mutating func copyWritten(buffer: Int) {
        guard case .writing(let sequence, let copiesLeft) = buffers[buffer] else {
            preconditionFailure("completion for a journal buffer that isn't being written")
        }
        if copiesLeft > 1 {
            buffers[buffer] = .writing(sequence, copiesLeft: copiesLeft - 1)
            return
        }
        buffers[buffer] = .free
        blocks[ring(sequence)].isWritten = true
        while written.next < next, blocks[ring(written.next)].isWritten { written = written.next }
    }

    /// A flush has succeeded that was submitted when `written` was `sequence`.
    mutating func flushed(through sequence: JournalSequence) {
        while durable < sequence {
            durable = durable.next
            pendingRecords -= Int(recordsInBlock[ring(durable)])
        }
        advanceSettled()
    }

    /// A payload that a record of block `sequence` speaks of is durable, or the record is durably
    /// void.
    mutating func payloadSettled(in sequence: JournalSequence) {
        let block = ring(sequence)
        precondition(blocks[block].unsettledPayloads > 0, "a payload settled twice")
        blocks[block].unsettledPayloads -= 1
        advanceSettled()
    }

    private mutating func advanceSettled() {
        while settled < durable, blocks[ring(settled.next)].unsettledPayloads == 0 {
            settled = settled.next
            unsettledPayloadBytes -= blocks[ring(settled)].payloadBytes
            settledChain = chains[ring(settled)]
        }
    }

    /// A checkpoint covers every block before `sequence`.
    mutating func release(before sequence: JournalSequence) {
        precondition(sequence.rawValue <= settled.rawValue + 1, "releasing unsettled blocks")
        if start < sequence { start = sequence }
    }

    mutating func raiseIncarnation(to value: UInt32) { incarnation = value }

    private func place(of buffer: Int) -> ArenaOffset {
        memory.start.advanced(by: UInt64(buffer) * FormatConstants.journalBlockBytes)
    }

    private func ring(_ sequence: JournalSequence) -> Int {
        Int(sequence.rawValue % blockCount)
    }
}
