// RDMAAddress: an IP address as RDMA devices have them: 16 bytes, IPv4 ones mapped into IPv6.

#if Verbs

/// An IP address of an RDMA device.
package struct RDMAAddress: Hashable, Sendable, CustomStringConvertible {
    /// The 16 bytes in the order in which they are sent, as two little-endian words.
    package let words: InlineArray<2, UInt64>

    package static let byteCount = 16

    package init(words: InlineArray<2, UInt64>) { self.words = words }

    /// `bytes` are 16.
    package init(bytes: some Sequence<UInt8>) {
        var words = InlineArray<2, UInt64>(repeating: 0)
        var index = 0
        for byte in bytes {
            precondition(index < Self.byteCount, "an address of more than 16 bytes")
            words[index / 8] |= UInt64(byte) << (UInt64(index % 8) * 8)
            index += 1
        }
        precondition(index == Self.byteCount, "an address of \(index) bytes")
        self.words = words
    }

    /// The IPv4 address of these four bytes.
    package init(v4 bytes: [UInt8]) {
        precondition(bytes.count == 4, "an IPv4 address of \(bytes.count) bytes")
        self.init(
            bytes: (0..<Self.byteCount).map {
                $0 < 10 ? 0 : $0 < 12 ? 0xFF : bytes[$0 - 12]
            })
    }

    package var bytes: [UInt8] {
        (0..<Self.byteCount).map {
            UInt8(truncatingIfNeeded: words[$0 / 8] >> (UInt64($0 % 8) * 8))
        }
    }

    /// Good on one link only: nobody behind a router can reach it.
    package var isLinkLocal: Bool { words[0] & 0xC0FF == 0x80FE }

    private var isV4: Bool { words[0] == 0 && UInt32(truncatingIfNeeded: words[1]) == 0xFFFF_0000 }

    package var description: String {
        let bytes = bytes
        if isV4 { return bytes[12...].map(String.init).joined(separator: ".") }
        return stride(from: 0, to: Self.byteCount, by: 2)
            .map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }
            .joined(separator: ":")
    }

    package static func == (left: RDMAAddress, right: RDMAAddress) -> Bool {
        left.words[0] == right.words[0] && left.words[1] == right.words[1]
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words[0])
        hasher.combine(words[1])
    }
}

#endif
