// CrashSettings: the sizes, the seed and the bounds of an enumeration.
//
// Always holds: the same settings give the same runs, in the same order, with the same fingerprint.

package import Engine
import Wire

/// What an enumeration runs on, and how far it goes.
package struct CrashSettings: Sendable {
    package var seed: UInt64 = 1
    package var logicalBlockBytes = 4096
    package var driveBytes: UInt64 = 6 << 20
    package var journalBlocks: UInt32 = 16
    package var blockSizeBytes: UInt32 = 16 << 10
    package var minimumSlotBytes: UInt32 = 4 << 10
    package var slabCount = 32
    package var requestLimit = 16
    /// Every combination of outcomes is tried while there are at most this many; else a sample.
    package var combinationLimit = 64
    /// Seeded resolutions per crash point, beyond the fixed ones, when not all are tried.
    package var sampleLimit = 8
    /// Crash points of each recovery at which the power is cut again; `Int.max` for all of them.
    package var secondCrashLimit = 4
    /// Resolutions tried at each of those.
    package var secondCrashSampleLimit = 2
    /// Every so-manieth image is also put, deleted, drained and restarted; 1 for each.
    package var aftercareInterval: UInt64 = 1
    package var isEvictionEnabled = true
    package var supportsDiscard = true
    /// Off for a hunt that must succeed by the ledger alone.
    package var isTraceArmed = true
    #if PLANTED_BUGS
    package var plantedBug: PlantedBug?
    #endif
    /// Engine steps that one goal may take.
    package var stepBudget = 200_000

    package init() {}

    /// The same settings for an engine without a planted bug.
    var unplanted: CrashSettings {
        var settings = self
        #if PLANTED_BUGS
        settings.plantedBug = nil
        #endif
        return settings
    }

    /// The engine's part of the settings.
    package var engine: EngineConfiguration {
        var configuration = EngineConfiguration()
        configuration.operationLimit = 4 * requestLimit
        configuration.valueLimitBytes = 64 << 10
        configuration.blockSizeBytes = blockSizeBytes
        configuration.minimumSlotBytes = minimumSlotBytes
        configuration.leafCacheBytes = 64 << 10
        configuration.dirtyEntryLimit = 64
        configuration.unsettledPayloadLimitBytes = 256 << 10
        configuration.evictionEnabled = isEvictionEnabled
        #if PLANTED_BUGS
        configuration.plantedBug = plantedBug
        #endif
        return configuration
    }

    package var format: FormatConfiguration {
        let drive = StoreIdentity(high: seed, low: 0x6472_6976_65)
        return FormatConfiguration(
            storeID: StoreIdentity(high: seed, low: 0x7374_6F72_65), driveID: drive,
            members: [drive], blockSizeBytes: blockSizeBytes, minimumSlotBytes: minimumSlotBytes,
            journalBlocks: journalBlocks)
    }

    /// Bytes of slots that a value takes: one slot of the smallest class that holds it, or whole
    /// blocks.
    package func slotBytes(forValueOf lengthBytes: Int) -> UInt64 {
        let length = UInt64(lengthBytes)
        var slot = UInt64(minimumSlotBytes)
        while slot < length && slot < UInt64(blockSizeBytes) { slot *= 2 }
        return (length + slot - 1) / slot * slot
    }
}

/// Values that can be recognised wherever they lie: every 512 bytes begin with the value's number.
package enum StampedValue {
    private static let mark: UInt64 = 0x4D4B_562D_5354_4D50
    private static let chunkBytes = 512

    /// A value of `count` bytes, different from every other number's in every 512 bytes.
    package static func bytes(number: UInt64, count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + chunkBytes)
        var word: UInt64 = 0
        while bytes.count < count {
            append(mark, to: &bytes)
            append(number, to: &bytes)
            word = BlockKey.finalize(number &* 0x10001 &+ UInt64(bytes.count))
            for _ in 2..<chunkBytes / 8 {
                word = word &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                append(word ^ word >> 29, to: &bytes)
            }
        }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// The number of the value that the sector's first bytes belong to, or nil.
    package static func number(in sector: [UInt8]) -> UInt64? {
        guard word(at: 0, of: sector) == mark else { return nil }
        return word(at: 8, of: sector)
    }

    private static func append(_ word: UInt64, to bytes: inout [UInt8]) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: word >> shift))
        }
    }

    private static func word(at offset: Int, of bytes: [UInt8]) -> UInt64 {
        (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
    }
}
