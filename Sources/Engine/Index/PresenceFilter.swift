// PresenceFilter: a Bloom filter over one leaf's keys, kept beside the pointer to the leaf, so that
// an absent key costs no leaf read and a rewritten leaf gets a new, exact filter (nothing is ever
// removed).
//
// 2048 bits and five probes: about 1 % false positives at 200 keys (Bloom, CACM 13(7), 1970), 256
// bytes a leaf: 1 to 2 bytes a block. Probes come from one 64-bit mix by double hashing (Kirsch and
// Mitzenmacher, ESA 2006); the mix's seed is the drive's id, since filters are stored.

import Wire

/// The keys that a leaf may hold.
struct PresenceFilter: Sendable {
    static let wordCount = 32
    private static let probes: UInt64 = 5
    var words = InlineArray<32, UInt64>(repeating: 0)

    mutating func insert(hash: UInt64) {
        for probe in 0..<Self.probes {
            let bit = Self.bit(hash, probe)
            words[bit / 64] |= 1 << UInt64(bit % 64)
        }
    }

    func mayContain(hash: UInt64) -> Bool {
        for probe in 0..<Self.probes {
            let bit = Self.bit(hash, probe)
            if words[bit / 64] >> UInt64(bit % 64) & 1 == 0 { return false }
        }
        return true
    }

    private static func bit(_ hash: UInt64, _ probe: UInt64) -> Int {
        let step = hash >> 32 | 1
        return Int((hash &+ probe &* step) & 2047)
    }
}
