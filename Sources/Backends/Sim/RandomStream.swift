// RandomStream: the only source of chance in a simulated world.
//
// Always holds: integers only; a stream is a function of (seed, name, incarnation), so a draw added
// to one stream moves no other. The generator is xoshiro256** (Blackman and Vigna, 2018), filled by
// SplitMix64; bounded draws reject, so they are exactly uniform.

/// A named stream of random words.
package struct RandomStream: Sendable {
    private var state: InlineArray<4, UInt64>

    /// The stream `name` of `seed`; a restarted owner takes another `incarnation` and draws other
    /// words.
    package init(seed: UInt64, name: StaticString, incarnation: UInt64 = 0) {
        var nameHash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in "\(name)".utf8 { nameHash = (nameHash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        var filler = Mixer.mix(seed) ^ Mixer.mix(nameHash &+ incarnation &* 0x9E37_79B9_7F4A_7C15)
        state = .init(repeating: 0)
        for index in 0..<4 {
            filler &+= 0x9E37_79B9_7F4A_7C15
            state[index] = Mixer.mix(filler)
        }
    }

    /// The next 64 random bits.
    package mutating func next() -> UInt64 {
        let result = Self.rotate(state[1] &* 5, by: 7) &* 9
        let shifted = state[1] << 17
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= shifted
        state[3] = Self.rotate(state[3], by: 45)
        return result
    }

    /// A number below `bound`, which isn't 0.
    package mutating func below(_ bound: UInt64) -> UInt64 {
        precondition(bound > 0, "a draw below nothing")
        let rejected = (0 &- bound) % bound
        while true {
            let word = next()
            if word >= rejected { return word % bound }
        }
    }

    /// True in `percent` of a hundred draws.
    package mutating func chance(percent: UInt64) -> Bool { below(100) < percent }

    private static func rotate(_ word: UInt64, by bits: UInt64) -> UInt64 {
        word << bits | word >> (64 - bits)
    }
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of the word.
package enum Mixer {
    package static func mix(_ word: UInt64) -> UInt64 {
        var mixed = word
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
