// The handshake's arithmetic: from a shared key and what both sides said, to their proofs and to
// one key for each direction. Docs/authentication.md is the same in prose, with test vectors.
//
// Always holds: every byte of both Connect frames, the proof excepted, goes into the transcript, so
// that two sides that saw different frames have no proof and no key in common; nonces are drawn by
// the caller, so the same inputs give the same keys. HKDF: RFC 5869.

/// 32 bytes that are used once. Whoever makes a session draws one.
package struct Nonce: Sendable {
    package let words: InlineArray<4, UInt64>

    package init(words: InlineArray<4, UInt64>) { self.words = words }

    /// Drawn from `generator`, which must be the system's where a server or a client really runs.
    package init(using generator: inout some RandomNumberGenerator) {
        words = [generator.next(), generator.next(), generator.next(), generator.next()]
    }
}

/// Both Connect frames, as far as the proof of the second.
package struct Transcript: Sendable {
    /// Header and body of the request, header and body of the response without its proof.
    package var words = InlineArray<31, UInt64>(repeating: 0)

    /// The words as they were sent and arrived, not what was understood of them.
    package init(
        requestHeader: InlineArray<8, UInt64>, requestBody: InlineArray<6, UInt64>,
        responseHeader: InlineArray<8, UInt64>, responseBody: InlineArray<9, UInt64>
    ) {
        for index in 0..<8 {
            words[index] = requestHeader[index]
            words[14 + index] = responseHeader[index]
        }
        for index in 0..<6 { words[8 + index] = requestBody[index] }
        for index in 0..<9 { words[22 + index] = responseBody[index] }
    }
}

/// HKDF-SHA256, as far as it is needed here: one block of output.
enum KeyDerivation {
    /// A pseudorandom key out of `material`.
    static func extract(_ material: Secret, salt: Secret) -> Secret {
        var code = MessageCode(MessageKey(salt))
        for index in 0..<4 { code.add(material.words[index]) }
        return code.end()
    }

    /// 32 bytes for the purpose that `label` names.
    static func expand(_ key: Secret, _ label: StaticString) -> Secret {
        var code = MessageCode(MessageKey(key))
        code.add(label)
        code.add(byte: 1)
        return code.end()
    }
}

/// What follows from a key and a transcript.
package struct KeySchedule: Sendable {
    /// What the server shows, to have the key.
    package let serverProof: Secret
    /// What the client shows.
    package let clientProof: Secret
    /// The key of the frames that the client sends.
    package let clientToServer: Secret
    /// The key of the frames that the server sends.
    package let serverToClient: Secret
    /// What the keys of the session's queue pairs are derived from (QueuePairKeys).
    package let queuePairs: Secret

    package init(_ key: AuthenticationKey, _ transcript: Transcript) {
        let root = KeyDerivation.extract(key.secret, salt: Digest.sha256(transcript.words))
        serverProof = KeyDerivation.expand(root, "memkv-auth-v1 server proof")
        clientProof = KeyDerivation.expand(root, "memkv-auth-v1 client proof")
        clientToServer = KeyDerivation.expand(root, "memkv-auth-v1 client to server")
        serverToClient = KeyDerivation.expand(root, "memkv-auth-v1 server to client")
        queuePairs = KeyDerivation.expand(root, "memkv-auth-v1 queue pairs")
    }
}
