// IOUringDevice: a shard's drives on its ring.
//
// Always holds: each submitted operation has one place in `flights` from `submit` until its
// completion is polled; a short transfer goes on inside; its bytes go straight between the drive
// and the arena. Memory drives finish inside `submit`, long transfers a piece at a time, so that
// they don't hold up the shard. Traps on an operation for an absent drive and beyond the limit.
//
// A discard of a memory drive does nothing: pages given back would have to be had from the kernel
// again, zeroed, which costs more than the write. A discard of a block device is the kernel's
// discard command; where the kernel doesn't know it (before 6.12), and on files, a hole is punched.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing
package import Engine
internal import Glibc
package import Ring

/// A shard's drives. Confined to the shard's thread.
@safe
package final class IOUringDevice: BlockDevice, CompletionHandler {
    private let shard: ShardRing
    private let arena: Arena
    private var drives: [OpenedDrive] = []
    private var source: UInt64 = 0
    private let flights: FixedTable<Flight>
    private var free: FixedQueue<Int>
    private var finished: FixedQueue<Int>
    /// Long transfers of memory drives, served in turns.
    private var copying: FixedQueue<Int>
    private var checks: [FileCheck] = []
    /// Where the kernel writes a file's status for each operation: kept for the process's life,
    /// since one that hangs may be written at any time.
    private let statuses: UnsafeMutableRawPointer
    package let operationLimit: Int

    /// One operation under way.
    private struct Flight {
        var operation = DeviceOperation(
            action: .flush, drive: DriveIndex(0), tag: OperationTag(0))
        /// Bytes read or written so far.
        var done: UInt64 = 0
        /// Times the kernel said "again".
        var retries = 0
        var discard = OpenedDrive.Discard.punchHole
        var error: DeviceError?
        /// A flush that has succeeded, or a write that hasn't begun, has asked how its file is.
        var awaitsStatus = false
        /// The kernel's number for the error.
        var code: Int32 = 0
    }

    /// When flushes ask for a file's status.
    private struct FileCheck {
        var isUnderWay = false
        var next = Instant(nanoseconds: 0)
    }

    private static let statusPauseMicroseconds: UInt64 = 1_000_000
    /// Longest single transfer given to the kernel, whose own limit is just below 2 GiB.
    private static let transferLimit: UInt64 = 1 << 30
    private static let retryLimit = 64
    /// Writes and flushes that one drive may have in flight, and some to spare.
    private static let blockedOperationsPerDrive = 80
    /// What a memory drive moves at once.
    private static let memoryPieceBytes: UInt64 = 64 << 10

    /// Opens and locks `descriptions`, in their order, for a ring that has no device yet. Drives
    /// that aren't there are absent; anything else that is wrong with one is thrown. `arena` is the
    /// one `shard` was made with.
    package init(
        shard: ShardRing, arena: Arena, drives descriptions: [DriveDescription],
        access: DriveAccess = .readWrite, operationLimit: Int
    ) throws(DriveOpenError) {
        precondition(operationLimit > 0, "a device of no operations")
        self.shard = shard
        self.arena = arena
        self.operationLimit = operationLimit
        flights = FixedTable(count: operationLimit) { _ in Flight() }
        free = FixedQueue(capacity: operationLimit)
        finished = FixedQueue(capacity: operationLimit)
        copying = FixedQueue(capacity: operationLimit)
        checks = descriptions.map { _ in FileCheck() }
        unsafe statuses = .allocate(
            byteCount: operationLimit * Int(MEMKV_FILE_STATUS_BYTES), alignment: 8)
        for index in 0..<operationLimit { free.append(index) }
        for description in descriptions {
            drives.append(try OpenedDrive.open(description, access: access))
        }
        do throws(RingError) {
            try shard.ring.registerFileTable(count: max(1, drives.count))
            for (index, drive) in drives.enumerated() where drive.descriptor >= 0 {
                try shard.ring.registerFile(drive.descriptor, at: index)
            }
        } catch {
            throw .ring(error)
        }
        shard.ring.allowBlockedOperations(drives.count * Self.blockedOperationsPerDrive)
        source = shard.attach(self)
    }

    deinit {
        // The ring's own references would keep the drives locked after the descriptors are closed.
        shard.ring.unregisterFiles()
        for drive in drives { drive.close() }
    }

    package var driveCount: Int { drives.count }

    /// Operations submitted and not yet polled.
    package var operationsInFlight: Int { operationLimit - free.count }

    package func geometry(of drive: DriveIndex) -> DriveGeometry {
        drives[Int(drive.rawValue)].geometry
    }

    /// Why a drive is absent; nil when it is there.
    package func absence(of drive: DriveIndex) -> SystemError? {
        drives[Int(drive.rawValue)].absence
    }

    /// True when somebody else has a drive that was opened to look.
    func isInUse(_ drive: DriveIndex) -> Bool { drives[Int(drive.rawValue)].isInUse }

    /// False for a file whose file system has no O_DIRECT: its bytes go through the page cache.
    package func bypassesPageCache(_ drive: DriveIndex) -> Bool {
        drives[Int(drive.rawValue)].isDirect
    }

    /// Allocates a stretch of a file drive; does nothing on other drives. Blocks.
    func reserve(
        _ start: ByteOffset, length: ByteCount, on drive: DriveIndex
    ) throws(SystemError) {
        let drive = drives[Int(drive.rawValue)]
        guard drive.geometry.mode == .file else { return }
        let result = posix_fallocate(
            drive.descriptor, off_t(start.rawValue), off_t(length.rawValue))
        if result != 0 { throw SystemError(-result) }
    }

    package func submit(_ operation: DeviceOperation) {
        let drive = drives[Int(operation.drive.rawValue)]
        precondition(
            drive.geometry.isPresent, "an operation for the absent drive \(operation.drive)")
        guard let index = free.popFirst() else {
            preconditionFailure("more than \(operationLimit) device operations in flight")
        }
        flights[index] = Flight(operation: operation, discard: drive.discard)
        if let memory = drive.memory {
            if operation.action == .discard || operation.length.rawValue <= Self.memoryPieceBytes {
                perform(operation, on: memory, from: 0, length: operation.length.rawValue)
                finish(index, nil)
            } else {
                copying.append(index)
            }
        } else if operation.action != .flush && operation.length == .zero {
            finish(index, nil)
        } else if operation.action == .write, drive.isFile,
            operation.offset.rawValue + operation.length.rawValue
                == drive.geometry.capacity.rawValue
        {
            // It would give a file that was cut short its length back, and no flush would notice.
            askForStatus(index)
        } else {
            start(index, mayBlock: drive.blocksSubmitter)
        }
    }

    package func nextCompletion() -> DeviceCompletion? {
        guard let index = finished.popFirst() else { return nil }
        free.append(index)
        return DeviceCompletion(
            tag: flights[index].operation.tag, error: flights[index].error,
            code: flights[index].code)
    }

    package func prepare(now: Instant) -> Bool {
        copyPiece()
        return !finished.isEmpty || !copying.isEmpty
    }

    /// Moves the next piece of a memory drive's long transfers.
    private func copyPiece() {
        guard let index = copying.popFirst() else { return }
        let operation = flights[index].operation
        guard let memory = drives[Int(operation.drive.rawValue)].memory else {
            preconditionFailure("a copy for a drive that isn't in memory")
        }
        let done = flights[index].done
        let length = min(Self.memoryPieceBytes, operation.length.rawValue - done)
        perform(operation, on: memory, from: done, length: length)
        flights[index].done = done + length
        if done + length == operation.length.rawValue {
            finish(index, nil)
        } else {
            copying.append(index)
        }
    }

    package func nextWake(now: Instant) -> Instant { .never }

    package func complete(_ operation: UInt64, result: Int32, hasMore: Bool, now: Instant) {
        let index = Int(operation)
        if result < 0 {
            if flights[index].awaitsStatus { _ = takeStatus(index) }
            failed(index, code: -result)
            return
        }
        if flights[index].awaitsStatus {
            answered(index, isWhole: takeStatus(index))
            return
        }
        switch flights[index].operation.action {
        case .flush:
            if isCheckDue(index, now: now) { askForStatus(index) } else { finish(index, nil) }
        case .discard: finish(index, nil)
        case .read, .write: advanced(index, by: UInt64(result))
        }
    }

    // MARK: - Files that go

    /// Whether a flush that has succeeded is to ask whether its file still has a name and its
    /// length, once a second: what is flushed to one that hasn't isn't durable.
    private func isCheckDue(_ index: Int, now: Instant) -> Bool {
        let number = Int(flights[index].operation.drive.rawValue)
        guard drives[number].isFile, !checks[number].isUnderWay, now >= checks[number].next
        else { return false }
        checks[number].isUnderWay = true
        checks[number].next = now.advanced(byMicroseconds: Self.statusPauseMicroseconds)
        return true
    }

    private func askForStatus(_ index: Int) {
        flights[index].awaitsStatus = true
        unsafe shard.ring.fileStatus(
            of: drives[Int(flights[index].operation.drive.rawValue)].descriptor,
            into: status(of: index), userData: ShardRing.userData(source: source, UInt64(index)))
    }

    /// The status that was asked for has come, or can't be had: whether it is a whole file's.
    private func takeStatus(_ index: Int) -> Bool {
        let operation = flights[index].operation
        let number = Int(operation.drive.rawValue)
        flights[index].awaitsStatus = false
        if operation.action == .flush { checks[number].isUnderWay = false }
        let capacity = drives[number].geometry.capacity.rawValue
        return unsafe memkv_is_whole_file(status(of: index), capacity)
    }

    private func answered(_ index: Int, isWhole: Bool) {
        let operation = flights[index].operation
        if isWhole, operation.action == .write {
            start(index, mayBlock: drives[Int(operation.drive.rawValue)].blocksSubmitter)
        } else {
            finish(index, isWhole ? nil : .gone)
        }
    }

    @unsafe
    private func status(of index: Int) -> UnsafeMutableRawPointer {
        unsafe statuses + index * Int(MEMKV_FILE_STATUS_BYTES)
    }

    // MARK: - One operation's way

    private func start(_ index: Int, mayBlock: Bool) {
        let flight = flights[index]
        let operation = flight.operation
        let file = RingFile.registered(Int(operation.drive.rawValue))
        let userData = ShardRing.userData(source: source, UInt64(index))
        let offset = operation.offset.rawValue + flight.done
        switch operation.action {
        case .read:
            unsafe shard.ring.read(
                file, into: rest(of: flight), at: offset, mayBlock: mayBlock, userData: userData)
        case .write:
            unsafe shard.ring.write(
                file, from: rest(of: flight), at: offset, mayBlock: mayBlock, userData: userData)
        case .flush:
            shard.ring.synchronizeData(file, userData: userData)
        case .discard:
            let length = operation.length.rawValue
            switch flight.discard {
            case .command:
                shard.ring.discardBlocks(file, at: offset, length: length, userData: userData)
            case .punchHole:
                shard.ring.punchHole(file, at: offset, length: length, userData: userData)
            }
        }
    }

    @unsafe
    private func rest(of flight: Flight) -> UnsafeMutableRawBufferPointer {
        let length = min(flight.operation.length.rawValue - flight.done, Self.transferLimit)
        return unsafe arena.bytes(
            ArenaRange(
                start: flight.operation.memory.advanced(by: flight.done),
                length: ByteCount(length)))
    }

    private func advanced(_ index: Int, by count: UInt64) {
        let operation = flights[index].operation
        // A count that ends inside a sector stopped at the file's end; the sector is tried again,
        // and then gives nothing.
        let block = UInt64(geometry(of: operation.drive).logicalBlockBytes)
        let done = (flights[index].done + count) / block * block
        if done == flights[index].done {
            finish(index, operation.action == .read ? .gone : .inputOutput)
            return
        }
        flights[index].done = done
        if done >= operation.length.rawValue {
            finish(index, nil)
        } else {
            start(index, mayBlock: drives[Int(operation.drive.rawValue)].blocksSubmitter)
        }
    }

    private func failed(_ index: Int, code: Int32) {
        let flight = flights[index]
        let drive = Int(flight.operation.drive.rawValue)
        if code == EAGAIN || code == EINTR, flight.retries < Self.retryLimit {
            flights[index].retries += 1
            start(index, mayBlock: true)
        } else if flight.operation.action == .discard, flight.discard == .command,
            code == EOPNOTSUPP || code == EINVAL || code == ENOTTY
        {
            drives[drive].discard = .punchHole
            flights[index].discard = .punchHole
            start(index, mayBlock: false)
        } else {
            flights[index].code = code
            finish(index, DeviceError(errno: code, onBlockDevice: drives[drive].isBlockDevice))
        }
    }

    private func finish(_ index: Int, _ error: DeviceError?) {
        flights[index].error = error
        finished.append(index)
    }

    /// Moves `length` bytes of an operation, from its byte `done` on.
    private func perform(
        _ operation: DeviceOperation, on memory: MappedMemory, from done: UInt64, length: UInt64
    ) {
        guard operation.action == .read || operation.action == .write, length > 0 else { return }
        let offset = Int(operation.offset.rawValue + done)
        let length = Int(length)
        precondition(
            offset <= memory.byteCount && length <= memory.byteCount - offset,
            "\(length) bytes at \(offset) are outside a memory drive of \(memory.byteCount)")
        let media = unsafe UnsafeMutableRawBufferPointer(start: memory.base + offset, count: length)
        let bytes = unsafe arena.bytes(
            ArenaRange(
                start: operation.memory.advanced(by: done), length: ByteCount(UInt64(length))))
        if operation.action == .read {
            unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(media))
        } else {
            unsafe memkv_copy_to_media(media.baseAddress, bytes.baseAddress, bytes.count)
        }
    }
}

#endif
