// QueuePairOffer: the answer to RdmaOpen: where a queue pair can be had, on which terms, and the
// nonce that opens it; and the text of an answer that refuses one.
//
// Always holds: an offer names a port, at least one address and at least one credit, and messages
// long enough for any request of one key. Refuses anything else. Allocates: for the opening of a
// queue pair, never for a request.
//
//   offer    [port u16, credits u16, message limit u32][session id][nonce 16]
//            [address count u16, zero 6 bytes][address 16] × count
//   refusal  text in UTF-8, at most 256 bytes, then zeros up to a whole word

/// What is wrong with an offer.
package enum QueuePairOfferError: Error, Hashable, Sendable {
    case wrongLength(words: Int)
    case reservedNotZero
    case noPort
    case noCredits
    case noAddress
    case messagesTooShort(limitBytes: UInt32)
}

/// 16 bytes that are used once, for one queue pair.
package struct QueuePairNonce: Sendable {
    package let words: InlineArray<2, UInt64>

    package init(words: InlineArray<2, UInt64>) { self.words = words }

    /// Drawn from `generator`, which must be the system's where a server really runs.
    package init(using generator: inout some RandomNumberGenerator) {
        words = [generator.next(), generator.next()]
    }
}

/// The address of an RDMA device: 16 bytes of IPv6, an IPv4 address mapped into them
/// (::ffff:a.b.c.d, RFC 4291 2.5.5.2).
package struct DeviceAddress: Hashable, Sendable {
    /// The bytes in their order, as two little-endian words.
    package let word0, word1: UInt64

    package init(words: InlineArray<2, UInt64>) {
        word0 = words[0]
        word1 = words[1]
    }

    /// From the 16 bytes in network order.
    package init(bytes: InlineArray<16, UInt8>) {
        var words: InlineArray<2, UInt64> = [0, 0]
        for index in 0..<16 {
            words[index / 8] |= UInt64(bytes[index]) << UInt64(index % 8 * 8)
        }
        self.init(words: words)
    }

    /// From the four bytes of an IPv4 address.
    package init(_ first: UInt8, _ second: UInt8, _ third: UInt8, _ fourth: UInt8) {
        self.init(bytes: [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, first, second, third, fourth,
        ])
    }

    package var words: InlineArray<2, UInt64> { [word0, word1] }

    /// The 16 bytes in network order.
    package var bytes: InlineArray<16, UInt8> {
        let words = self.words
        return InlineArray { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8)) }
    }

    package var isIPv4: Bool { word0 == 0 && word1 & 0xFFFF_FFFF == 0xFFFF_0000 }
}

extension DeviceAddress: CustomStringConvertible {
    /// Dotted digits of an IPv4 address, otherwise eight groups of hex digits.
    package var description: String {
        let bytes = self.bytes
        if isIPv4 { return "\(bytes[12]).\(bytes[13]).\(bytes[14]).\(bytes[15])" }
        return (0..<8).map { group in
            String(Int(bytes[group * 2]) << 8 | Int(bytes[group * 2 + 1]), radix: 16)
        }.joined(separator: ":")
    }
}

/// What a server offers for one queue pair.
package struct QueuePairOffer: Sendable {
    /// Most addresses in one offer.
    package static let addressLimit = 16
    /// A signed request for one key with every segment it may have.
    package static let shortestMessageLimitBytes =
        UInt32(FrameHeader.byteCount) + BodyLayout.keyBytes + RemoteBodyShape.countBytes
        + RemoteBodyShape.segmentLimit * RemoteSegment.byteCount + UInt32(FrameTag.byteCount)
    /// Longest message of any request or response: a full signed BatchWrite.
    package static let longestMessageLimitBytes =
        UInt32(FrameHeader.byteCount) + BodyLayout.remoteBodyLimitBytes
        + UInt32(FrameTag.byteCount)

    /// Where the server's RDMA listener is, on each of `addresses`.
    package var port: UInt16
    /// Requests that may be unanswered on the queue pair.
    package var credits: UInt16
    /// Bytes of one message, in both directions.
    package var messageLimitBytes: UInt32
    /// The TCP session that the queue pair belongs to.
    package var sessionID: UInt64
    package var nonce: QueuePairNonce
    /// Of the server's RDMA devices, 1 to `addressLimit`.
    package var addresses: [DeviceAddress]

    package init(
        port: UInt16, credits: UInt16, messageLimitBytes: UInt32, sessionID: UInt64,
        nonce: QueuePairNonce, addresses: [DeviceAddress]
    ) {
        precondition((1...Self.addressLimit).contains(addresses.count), "an offer of no address")
        self.port = port
        self.credits = credits
        self.messageLimitBytes = messageLimitBytes
        self.sessionID = sessionID
        self.nonce = nonce
        self.addresses = addresses
    }

    /// Words before the addresses.
    private static let fixedWords = 5
    package static let longestBodyBytes = 8 * (fixedWords + 2 * addressLimit)

    /// The body of an answer that offers.
    package var words: [UInt64] {
        var words = [
            UInt64(port) | UInt64(credits) << 16 | UInt64(messageLimitBytes) << 32,
            sessionID, nonce.words[0], nonce.words[1], UInt64(addresses.count),
        ]
        for address in addresses { words += [address.word0, address.word1] }
        return words
    }

    package init(words: [UInt64]) throws(QueuePairOfferError) {
        guard words.count >= Self.fixedWords else { throw .wrongLength(words: words.count) }
        guard words[4] >> 16 == 0 else { throw .reservedNotZero }
        let count = Int(words[4])
        guard count > 0 else { throw .noAddress }
        guard count <= Self.addressLimit, words.count == Self.fixedWords + 2 * count else {
            throw .wrongLength(words: words.count)
        }
        port = UInt16(truncatingIfNeeded: words[0])
        credits = UInt16(truncatingIfNeeded: words[0] >> 16)
        messageLimitBytes = UInt32(truncatingIfNeeded: words[0] >> 32)
        sessionID = words[1]
        nonce = QueuePairNonce(words: [words[2], words[3]])
        addresses = (0..<count).map {
            DeviceAddress(
                words: [words[Self.fixedWords + 2 * $0], words[Self.fixedWords + 2 * $0 + 1]])
        }
        guard port > 0 else { throw .noPort }
        guard credits > 0 else { throw .noCredits }
        guard messageLimitBytes >= Self.shortestMessageLimitBytes else {
            throw .messagesTooShort(limitBytes: messageLimitBytes)
        }
    }
}

/// Why a server offers no queue pair: the body of an answer that is `unsupported` or
/// `unavailable`. No body is an empty text.
package enum QueuePairRefusal {
    package static let longestTextBytes = 256
    package static let wordLimit = longestTextBytes / 8

    /// The text's words; what is beyond the limit is cut off between two characters.
    package static func words(_ text: String) -> [UInt64] {
        var bytes: [UInt8] = []
        for character in text {
            guard bytes.count + character.utf8.count <= longestTextBytes else { break }
            bytes += character.utf8
        }
        var words = [UInt64](repeating: 0, count: (bytes.count + 7) / 8)
        for (index, byte) in bytes.enumerated() {
            words[index / 8] |= UInt64(byte) << UInt64(index % 8 * 8)
        }
        return words
    }

    /// The text, without control characters; whatever isn't UTF-8 is replaced.
    package static func text(words: [UInt64]) -> String {
        var bytes: [UInt8] = []
        for word in words.prefix(wordLimit) {
            for index in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(index * 8)))
            }
        }
        while bytes.last == 0 { bytes.removeLast() }
        bytes = bytes.map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: " ") : $0 }
        return String(decoding: bytes, as: UTF8.self)
    }
}
