// The last step of configuration: flags over environment over file over defaults, then everything
// that must agree is checked against each other.

private import Engine
package import Schema

extension ServerSettings {
    /// Smallest slab: below it a large value would be a chain of very many pieces.
    static let smallestSlabBytes: UInt64 = 64 << 10
    /// What a scrub reads at once.
    static let smallestScrubBytesPerSecond: UInt64 = 64 << 10
    /// Between two looks at a drive that nobody uses, so that one that goes away is noticed.
    static let heartbeatMicroseconds: UInt64 = 500_000
    /// Largest value that any configuration accepts.
    static let largestValueBytes: UInt64 = 16 << 20

    /// Settings from what `invocation` and `document` say.
    package init(
        invocation: ServerInvocation, document: ServerDocument
    ) throws(ConfigurationError) {
        let address = invocation.listen ?? document.address
        listen = if let address { try ListenAddress(address) } else { .standard }
        authentication = try AuthenticationSettings(
            invocation, document, listen: listen, address: address)
        admin = try AdminSettings(document)
        (slabBytes, poolBytes) = try Self.memory(document)
        limits = try document.limits.resolve(slabBytes: slabBytes, poolBytes: poolBytes)
        engine = try Self.engine(document, limits)
        store = try Self.store(invocation, document)
        rdma = try RDMASettings(document)
        configuredShards = document.shards?.value
        if let shards = document.shards { try check(shards) }
    }

    private func check(_ shards: Setting<Int>) throws(ConfigurationError) {
        if shards.value > store.driveCount {
            throw shards.refused(
                "\(shards.value) shards for \(store.driveCount) drives; a drive belongs to one "
                    + "shard, so there can't be more shards than drives")
        }
        let needed = UInt64(shards.value) * Self.poolBytesPerShard(slabBytes).rawValue
        if poolBytes.rawValue < needed {
            throw shards.refused(
                "\(shards.value) shards need a pool of \(ByteSize.format(ByteCount(needed))), two "
                    + "of the largest payloads each; raise memory.max_size")
        }
    }

    private static func engine(
        _ document: ServerDocument, _ limits: SessionLimits
    ) throws(ConfigurationError) -> EngineConfiguration {
        var engine = EngineConfiguration()
        if let size = document.blockSize { engine.blockSizeBytes = try small(size) }
        engine.minimumSlotBytes = min(engine.minimumSlotBytes, engine.blockSizeBytes)
        if let size = document.minimumSlot { engine.minimumSlotBytes = try small(size) }
        // A value takes a bounded number of slots, so small slots lower the largest value.
        let reachable = UInt64(engine.blockSizeBytes) * UInt64(SlotList.capacity)
        engine.valueLimitBytes = UInt32(min(UInt64(limits.payloadLimitBytes), reachable))
        engine.batchLimit = limits.batchLimit
        engine.evictionEnabled = document.evictionEnabled?.value ?? engine.evictionEnabled
        if let percent = document.evictionWatermark {
            engine.evictionWatermarkPercent = UInt8(percent.value)
        }
        engine.scrubBytesPerSecond = try scrubRate(document)
        if let pause = document.scrubPause { engine.scrubPauseMicroseconds = pause.value }
        engine.watch.heartbeatMicroseconds = heartbeatMicroseconds
        guard let problem = engine.impossibility else { return engine }
        let culprit = document.minimumSlot ?? document.blockSize
        throw culprit?.refused(problem)
            ?? ConfigurationError(origin: .standard, key: "storage", problem: problem)
    }

    private static func scrubRate(
        _ document: ServerDocument
    ) throws(ConfigurationError) -> UInt64 {
        guard let rate = document.scrubRate else { return standardScrubBytesPerSecond }
        let bytes = rate.value.rawValue
        if bytes > 0, bytes < smallestScrubBytesPerSecond {
            throw rate.refused(
                "\(ByteSize.format(rate.value)) a second is less than 64 KiB, a piece; "
                    + "give more, or 0 for no scrub")
        }
        return bytes
    }

    private static func small(_ size: Setting<ByteCount>) throws(ConfigurationError) -> UInt32 {
        guard size.value.rawValue <= largestValueBytes else {
            throw size.refused(
                "\(ByteSize.format(size.value)) is more than 16 MiB, the largest value there is")
        }
        return UInt32(size.value.rawValue)
    }

    private static func memory(
        _ document: ServerDocument
    ) throws(ConfigurationError) -> (slab: ByteCount, pool: ByteCount) {
        let slab = document.slabSize?.value ?? standardSlabBytes
        let pool = document.poolSize?.value ?? standardPoolBytes
        if let setting = document.slabSize,
            slab.rawValue < smallestSlabBytes || slab.rawValue > largestValueBytes
                || slab.rawValue % 4096 != 0
        {
            throw setting.refused(
                "\(ByteSize.format(slab)) must be a multiple of 4 KiB from 64 KiB to 16 MiB")
        }
        // One payload on its way in and one on its way out must always fit, or nothing could move;
        // a batch's may be that large though its values are small.
        let least = poolBytesPerShard(slab)
        if pool < least {
            throw (document.poolSize ?? document.slabSize)?.refused(
                "a pool of \(ByteSize.format(pool)) is too small: two of the largest payloads need "
                    + "\(ByteSize.format(least)) in slabs of \(ByteSize.format(slab))")
                ?? ConfigurationError(
                    origin: .standard, key: "memory.max_size", problem: "too small")
        }
        return (slab, pool)
    }

    // MARK: Where the store is

    private static func store(
        _ invocation: ServerInvocation, _ document: ServerDocument
    ) throws(ConfigurationError) -> StorePlan {
        if let data = invocation.data { return try directory(data, document) }
        guard let mode = document.mode else {
            if let drives = document.drives {
                throw ConfigurationError(
                    origin: drives.origin, key: "storage.mode",
                    problem: "missing; say whether the drives are file or direct")
            }
            throw ConfigurationError(
                origin: .standard, key: "",
                problem: "no drives: give --data DIR for a store in a directory, or --config FILE "
                    + "with storage.mode and storage.drives")
        }
        if mode.value == "memory" { return try memoryStore(mode, document) }
        return try driveStore(mode, document)
    }

    private static func directory(
        _ data: Setting<String>, _ document: ServerDocument
    ) throws(ConfigurationError) -> StorePlan {
        if let drives = document.drives {
            throw drives.refused(
                "the store is given twice, here and by \(data.key); remove one of them")
        }
        if let mode = document.mode, mode.value != "file" {
            throw mode.refused(
                "\(data.key) makes a store in a file, mode \(mode.value) contradicts it; "
                    + "remove one of them")
        }
        return .directory(data.value, driveBytes: document.driveSize?.value)
    }

    private static func memoryStore(
        _ mode: Setting<String>, _ document: ServerDocument
    ) throws(ConfigurationError) -> StorePlan {
        if let drives = document.drives {
            throw drives.refused("mode memory has no drives; remove them and give storage.max_size")
        }
        guard let size = document.driveSize else {
            throw ConfigurationError(
                origin: mode.origin, key: "storage.max_size",
                problem: "missing; mode memory needs to know how much it may hold")
        }
        return .memory(driveBytes: size.value)
    }

    private static func driveStore(
        _ mode: Setting<String>, _ document: ServerDocument
    ) throws(ConfigurationError) -> StorePlan {
        guard let drives = document.drives, !drives.value.isEmpty else {
            throw ConfigurationError(
                origin: document.drives?.origin ?? mode.origin, key: "storage.drives",
                problem: "missing; mode \(mode.value) needs at least one entry with media: PATH")
        }
        var places: [DrivePlace] = []
        for drive in drives.value {
            let size = drive.maximumSize ?? document.driveSize
            if mode.value == "direct", let size {
                throw size.refused("a raw device has its own size; max_size is for file drives")
            }
            // By bytes: names that only look alike are two files.
            if places.contains(where: { $0.path.utf8.elementsEqual(drive.media.value.utf8) }) {
                throw drive.media.refused("\(drive.media.value) is listed twice")
            }
            places.append(DrivePlace(path: drive.media.value, maximumBytes: size?.value))
        }
        if places.count > 64 {
            throw drives.refused("\(places.count) drives; a store has 64 at most")
        }
        return .drives(places, mode: mode.value == "direct" ? .direct : .file)
    }
}
