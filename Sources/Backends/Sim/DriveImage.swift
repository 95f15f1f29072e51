// DriveImage: what a drive holds durably, sector by sector.
//
// Always holds: a copy costs a reference until one of the two is written; a sector that was never
// written reads as noise drawn from the image's seed; `contentHash` is a function of the written
// sectors alone, whatever the order they were written in.

/// A sparse store of sectors with value semantics.
package struct DriveImage: Sendable {
    package let sectorBytes: Int
    package let sectorCount: UInt64
    private let noiseSeed: UInt64
    private var sectors: [UInt64: SectorBytes] = [:]
    /// Equal for equal contents, different otherwise but for chance.
    package private(set) var contentHash: UInt64 = 0

    /// An image of `sectorCount` sectors, none written.
    package init(sectorBytes: Int, sectorCount: UInt64, noiseSeed: UInt64) {
        precondition(sectorBytes == 512 || sectorBytes == 4096, "sectors of \(sectorBytes) bytes")
        self.sectorBytes = sectorBytes
        self.sectorCount = sectorCount
        self.noiseSeed = noiseSeed
    }

    /// Sectors written at least once.
    package var writtenSectors: Int { sectors.count }

    /// The sectors of `range` that were written, in order.
    package func writtenSectors(in range: Range<UInt64>) -> [UInt64] {
        sectors.keys.filter { range.contains($0) }.sorted()
    }

    package func isWritten(_ sector: UInt64) -> Bool { sectors[sector] != nil }

    package subscript(sector: UInt64) -> SectorBytes {
        get {
            precondition(sector < sectorCount, "sector \(sector) of \(sectorCount)")
            return sectors[sector]
                ?? .noise(seed: noiseSeed ^ Mixer.mix(sector), count: sectorBytes)
        }
        set {
            precondition(sector < sectorCount, "sector \(sector) of \(sectorCount)")
            precondition(newValue.bytes.count == sectorBytes, "a sector of another size")
            if let old = sectors.updateValue(newValue, forKey: sector) {
                contentHash ^= Self.hash(sector, old)
            }
            contentHash ^= Self.hash(sector, newValue)
        }
    }

    /// The first sector of `range` whose bytes satisfy `condition`; never-written ones aren't
    /// asked.
    package func firstWritten(
        in range: Range<UInt64>, where condition: (SectorBytes) -> Bool
    ) -> UInt64? {
        for sector in range {
            if let bytes = sectors[sector], condition(bytes) { return sector }
        }
        return nil
    }

    private static func hash(_ sector: UInt64, _ bytes: SectorBytes) -> UInt64 {
        Mixer.mix(bytes.checksum &+ Mixer.mix(sector &+ 0x9E37_79B9_7F4A_7C15))
    }
}
