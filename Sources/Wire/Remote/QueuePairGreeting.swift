// QueuePairGreeting: the private data by which client and server show each other, while the
// connection manager connects a queue pair, that they are the two ends of one TCP session.
//
// Always holds: a greeting counts only with its code, which covers every byte before it and the
// role of whoever says it, so that neither can be sent back to where it came from; it is compared
// in constant time. That a nonce is good once and for ten seconds is the server's to see to.
// Refuses: another magic, version or role.
//
//   byte  0  magic       u32  0x31524B4D ("MKR1")
//         4  version     u16  1
//         6  role        u16  1 client, 2 server, 3 client with leases
//         8  session id  u64
//        16  nonce       16 bytes
//        32  code        first 16 bytes of HMAC-SHA256 over bytes 0 to 31
//        48  what follows is the connection manager's and isn't looked at

/// Why private data isn't believed.
package enum QueuePairGreetingError: Error, Hashable, Sendable {
    case tooShort(byteCount: Int)
    case notAGreeting(magic: UInt32)
    case unsupportedVersion(UInt16)
    case wrongRole(UInt16)
}

/// Who says a greeting.
package enum QueuePairRole: UInt16, Sendable {
    /// Sent with the request to connect.
    case client = 1
    /// Sent with its acceptance.
    case server = 2
    /// Sent by a client that moves its values by itself, from and to memory that the server leases.
    case leaseholder = 3
}

/// What one side says of itself.
package struct QueuePairGreeting: Sendable {
    package static let byteCount = 48
    package static let wordCount = 6
    package static let magic: UInt32 = 0x3152_4B4D
    package static let version: UInt16 = 1
    /// From the answer to RdmaOpen until its nonce is worth nothing.
    package static let nonceMicroseconds: UInt64 = 10_000_000

    package let role: QueuePairRole
    package let sessionID: UInt64
    package let nonce: QueuePairNonce
    /// As it arrived, or as it is to be sent.
    package let code: FrameTag

    /// A greeting to be sent.
    package init(
        from role: QueuePairRole, sessionID: UInt64, nonce: QueuePairNonce, keys: QueuePairKeys
    ) {
        self.role = role
        self.sessionID = sessionID
        self.nonce = nonce
        code = Self.code(Self.said(role, sessionID, nonce), key: keys.greeting)
    }

    /// The private data, as little-endian words.
    package var words: InlineArray<6, UInt64> {
        let said = Self.said(role, sessionID, nonce)
        return [said[0], said[1], said[2], said[3], code.words[0], code.words[1]]
    }

    /// From private data that arrived, of which the first six words are looked at. `hasCode` tells
    /// whether to believe it.
    package init(
        words: InlineArray<6, UInt64>, from role: QueuePairRole
    ) throws(QueuePairGreetingError) {
        let magic = UInt32(truncatingIfNeeded: words[0])
        guard magic == Self.magic else { throw .notAGreeting(magic: magic) }
        let version = UInt16(truncatingIfNeeded: words[0] >> 32)
        guard version == Self.version else { throw .unsupportedVersion(version) }
        let roleBits = UInt16(truncatingIfNeeded: words[0] >> 48)
        guard roleBits == role.rawValue else { throw .wrongRole(roleBits) }
        self.role = role
        sessionID = words[1]
        nonce = QueuePairNonce(words: [words[2], words[3]])
        code = FrameTag(words: [words[4], words[5]])
    }

    /// The same from bytes.
    package init(
        bytes: Span<UInt8>, from role: QueuePairRole
    ) throws(QueuePairGreetingError) {
        guard bytes.count >= Self.byteCount else { throw .tooShort(byteCount: bytes.count) }
        var words = InlineArray<6, UInt64>(repeating: 0)
        for index in 0..<Self.byteCount {
            words[index / 8] |= UInt64(bytes[index]) << UInt64(index % 8 * 8)
        }
        try self.init(words: words, from: role)
    }

    /// Whether its code is the one that `keys` give, found out in constant time.
    package func hasCode(of keys: QueuePairKeys) -> Bool {
        Self.code(Self.said(role, sessionID, nonce), key: keys.greeting).matches(code)
    }

    private static func said(
        _ role: QueuePairRole, _ sessionID: UInt64, _ nonce: QueuePairNonce
    ) -> InlineArray<4, UInt64> {
        [
            UInt64(magic) | UInt64(version) << 32 | UInt64(role.rawValue) << 48,
            sessionID, nonce.words[0], nonce.words[1],
        ]
    }

    private static func code(_ said: InlineArray<4, UInt64>, key: Secret) -> FrameTag {
        var code = MessageCode(MessageKey(key))
        for index in 0..<4 { code.add(said[index]) }
        return FrameTag(ending: code)
    }
}

/// The keys of one queue pair: its greeting's, and one for each direction's frames.
package struct QueuePairKeys: Sendable {
    package let greeting: Secret
    /// The key of the frames that the client sends.
    package let clientToServer: Secret
    /// The key of the frames that the server sends.
    package let serverToClient: Secret

    /// Of the queue pair that `nonce` opens. `secret` is the TCP session's
    /// `KeySchedule.queuePairs`; nil in a session without a key: its queue pairs don't sign frames,
    /// and its greeting's key follows from the nonce alone, so that a greeting shows that its
    /// sender has seen the answer to RdmaOpen.
    package init(secret: Secret?, sessionID: UInt64, nonce: QueuePairNonce) {
        let root = KeyDerivation.extract(
            secret ?? Secret(words: [0, 0, 0, 0]),
            salt: Secret(words: [nonce.words[0], nonce.words[1], sessionID, 0]))
        greeting = KeyDerivation.expand(root, "memkv-rdma-v1 greeting")
        clientToServer = KeyDerivation.expand(root, "memkv-rdma-v1 client to server")
        serverToClient = KeyDerivation.expand(root, "memkv-rdma-v1 server to client")
    }
}
