// NewerSuperblock: a superblock as the next version of the format would begin.
//
// Written from the format's document, not from the engine's codec: a little-endian u16 version in
// byte 8 and XXH3-64 in bytes 16–23 over the whole with those bytes zero keep their places in every
// version.

import Sim

enum NewerSuperblock {
    /// `bytes`, a whole superblock, with its version raised by one and its checksum right.
    static func bytes(from bytes: [UInt8]) -> [UInt8] {
        var raised = bytes
        let version = UInt16(raised[8]) | UInt16(raised[9]) << 8
        raised[8] = UInt8(truncatingIfNeeded: version + 1)
        raised[9] = UInt8(truncatingIfNeeded: (version + 1) >> 8)
        for index in 16..<24 { raised[index] = 0 }
        let checksum = SectorBytes(raised).checksum
        for index in 0..<8 {
            raised[16 + index] = UInt8(truncatingIfNeeded: checksum >> UInt64(index * 8))
        }
        return raised
    }
}
