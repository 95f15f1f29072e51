// CrashState: what a power cut finds on the drives, and what it may leave behind.
//
// Always holds: each unflushed sector resolves by itself; the image that a resolution yields is a
// function of the state, the outcomes and the garbage seed; the state itself never changes.

package import Engine

/// What becomes of one unflushed sector.
package enum SectorOutcome: Hashable, Sendable {
    /// The version with this index: 0 is the durable one, then each unflushed write's, oldest
    /// first.
    case version(Int)
    /// The newest version in one half, the one before it in the other.
    case torn(newestFirst: Bool)
    case garbage
}

/// A sector that no flush covers.
package struct UnflushedSector: Sendable {
    package let drive: DriveIndex
    package let sector: UInt64
    /// The durable version, then each unflushed one, oldest first: two at least.
    package let versions: [SectorBytes]
    /// Serial of the newest write.
    package let write: UInt64
    /// The newest write had not completed.
    package let isInFlight: Bool

    package var newest: SectorOutcome { .version(versions.count - 1) }
}

/// The drives at one instant.
package struct CrashState: Sendable {
    private let drives: [SimulatedDrive]

    init(drives: [SimulatedDrive]) { self.drives = drives }

    /// The durable images, as though nothing unflushed had landed.
    package var durableImages: [DriveImage] { drives.map(\.image) }

    /// Every unflushed sector, by drive and sector.
    package func unflushedSectors() -> [UnflushedSector] {
        var found: [UnflushedSector] = []
        for (place, drive) in drives.enumerated() {
            let sectors = drive.unflushed.flatMap { write in
                write.sectors.indices.filter { write.sectors[$0] != nil }
                    .map { write.firstSector + UInt64($0) }
            }.sorted()
            var previous: UInt64?
            for sector in sectors where sector != previous {
                previous = sector
                found.append(Self.unflushed(sector, of: drive, DriveIndex(UInt16(place))))
            }
        }
        return found
    }

    /// True when the newest unflushed version of any sector satisfies `condition`.
    package func hasUnflushed(where condition: (SectorBytes) -> Bool) -> Bool {
        drives.contains { drive in
            drive.unflushed.contains { write in
                write.sectors.contains { bytes in bytes.map(condition) ?? false }
            }
        }
    }

    /// The images after a power cut in which `sectors[i]` became `outcomes[i]`.
    package func resolved(
        _ sectors: [UnflushedSector], as outcomes: [SectorOutcome], garbageSeed: UInt64
    ) -> [DriveImage] {
        precondition(sectors.count == outcomes.count, "an outcome for each unflushed sector")
        var images = durableImages
        for (sector, outcome) in zip(sectors, outcomes) {
            let newest = sector.versions[sector.versions.count - 1]
            let before = sector.versions[sector.versions.count - 2]
            let place = Int(sector.drive.rawValue)
            switch outcome {
            case .version(let index):
                if index > 0 { images[place][sector.sector] = sector.versions[index] }
            case .torn(let newestFirst):
                images[place][sector.sector] =
                    newestFirst
                    ? .torn(first: newest, second: before) : .torn(first: before, second: newest)
            case .garbage:
                images[place][sector.sector] = .noise(
                    seed: garbageSeed ^ Mixer.mix(sector.sector) &+ sector.write,
                    count: newest.bytes.count)
            }
        }
        return images
    }

    private static func unflushed(
        _ sector: UInt64, of drive: SimulatedDrive, _ index: DriveIndex
    ) -> UnflushedSector {
        var versions = [drive.image[sector]]
        var newest: UnflushedWrite?
        for write in drive.unflushed {
            guard let place = write.index(of: sector), let bytes = write.sectors[place] else {
                continue
            }
            versions.append(bytes)
            newest = write
        }
        guard let newest else { preconditionFailure("sector \(sector) is not unflushed") }
        return UnflushedSector(
            drive: index, sector: sector, versions: versions, write: newest.serial,
            isInFlight: newest.state == .inFlight)
    }
}

/// The default policy: a power cut mostly damages. Sectors of a write in flight are torn or garbage
/// in 80 to 100 percent of cases, the share drawn once per crash; completed but unflushed ones in
/// half; the others become any of their versions.
package struct CrashDamage: Sendable {
    private var random: RandomStream
    private let inFlightPercent: UInt64

    /// The policy's draws for one crash.
    package init(seed: UInt64, crash: UInt64) {
        random = RandomStream(seed: seed, name: "crash damage", incarnation: crash)
        inFlightPercent = 80 + random.below(21)
    }

    /// An outcome for each sector.
    package mutating func outcomes(for sectors: [UnflushedSector]) -> [SectorOutcome] {
        sectors.map { sector in
            if random.chance(percent: sector.isInFlight ? inFlightPercent : 50) {
                switch random.below(3) {
                case 0: return .torn(newestFirst: true)
                case 1: return .torn(newestFirst: false)
                default: return .garbage
                }
            }
            return .version(Int(random.below(UInt64(sector.versions.count))))
        }
    }
}

extension SimulatedDevice {
    /// Cuts the power under the default policy; the images that a new device may start from.
    package func crash(seed: UInt64, crash: UInt64) -> [DriveImage] {
        let state = crashState()
        let sectors = state.unflushedSectors()
        var damage = CrashDamage(seed: seed, crash: crash)
        return state.resolved(
            sectors, as: damage.outcomes(for: sectors), garbageSeed: Mixer.mix(seed &+ crash))
    }
}
