// Checksums and digests against published vectors, whole and in pieces; bodies against their table.

import Testing

@testable import Wire

@Suite struct DigestTests {
    private func xxh3(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe Digest.xxh3($0) }
    }

    /// Expected values from the library's own shared object, by way of another language. Lengths on
    /// both sides of the algorithm's changes at 16, 128 and 240 bytes.
    @Test func checksumsAreThePublishedOnes() {
        #expect(xxh3([]) == 0x2D06_8005_38D3_94C2)
        #expect(xxh3(Array("Hello, block!".utf8)) == 0x9F0B_976D_8B0D_651B)
        #expect(xxh3((0..<256).map { UInt8($0) }) == 0x9408_A443_3B95_2D71)
        #expect(xxh3((0..<5000).map { UInt8($0 % 251) }) == 0xB418_500F_C423_20EE)
    }

    @Test func piecesGiveTheSameAsTheWhole() {
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: BlockKey.finalize($0)) }
        var checksum = StreamingChecksum()
        for round in 1...2 {
            checksum.begin()
            var digest = StreamingDigest()
            var start = 0
            while start < bytes.count {
                let end = min(start + 777 * round, bytes.count)
                unsafe bytes[start..<end].withUnsafeBytes {
                    unsafe checksum.add($0)
                    unsafe digest.add($0)
                }
                start = end
            }
            #expect(checksum.end() == xxh3(bytes))
            #expect(
                digest.hexadecimal()
                    == BlockKey.sha256(of: bytes, namespace: Namespace(0)).hexadecimal)
        }
    }

    /// FIPS 180-4's example and the digest of nothing.
    @Test func digestsAreThePublishedOnes() {
        #expect(
            BlockKey.sha256(of: Array("abc".utf8), namespace: Namespace(0)).hexadecimal
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            BlockKey.sha256(of: [], namespace: Namespace(0)).hexadecimal
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            StreamingDigest().hexadecimal()
                == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    }

    @Test func connectsResponseStandsWhereItsTableSays() {
        let response = ConnectResponse(
            version: 1, batchLimit: 2, bodyLimitBytes: 3, payloadLimitBytes: 4, valueLimitBytes: 5,
            requestsInFlight: 6, storeID: [7, 8])
        let words = response.words
        #expect(words[0] == 1 | 2 << 32)
        #expect(words[1] == 3 | 4 << 32)
        #expect(words[2] == 5 | 6 << 32)
        #expect(words[3] == 7)
        #expect(words[4] == 8)
        #expect(ConnectResponse(words: words) == response)
    }

    @Test func keysKeepTheirBytesAndTheirOrder() throws {
        let digits = "00112233445566778899aabbccddeeff0123456789abcdefFEDCBA9876543210"
        let key = try #require(BlockKey(namespace: Namespace(1), hexadecimal: digits))
        #expect(key.hexadecimal == digits.lowercased())
        #expect(key.littleEndianWords[0] == 0x7766_5544_3322_1100)
        #expect(BlockKey(namespace: Namespace(1), littleEndianWords: key.littleEndianWords) == key)
        #expect(BlockKey(namespace: Namespace(1), hexadecimal: String(digits.dropLast())) == nil)
        #expect(BlockKey(namespace: Namespace(1), hexadecimal: digits.dropLast() + "g") == nil)
        let higher = try #require(
            BlockKey(namespace: Namespace(1), hexadecimal: "01" + digits.dropFirst(2)))
        #expect(key < higher)
        #expect(higher < BlockKey(namespace: Namespace(2), words: (0, 0, 0, 0)))
    }
}
