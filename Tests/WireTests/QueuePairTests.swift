// The opening of a queue pair and what its requests carry: bodies, offers, greetings, keys. The
// vectors are compared with Docs/rdma.md in ClientTests.

import Testing
import Wire

@Suite struct LeaseGrantTests {
    private let grant = LeaseGrant(
        leaseID: 0x1_0000_0002, timeToLiveMilliseconds: 30_000,
        segments: [
            RemoteSegment(address: 0x7F00_1234_5000, remoteKey: 7, lengthBytes: 4096),
            RemoteSegment(address: 0x7F00_1235_0000, remoteKey: 8, lengthBytes: 5),
        ])

    @Test func aGrantIsTheSameAfterItsWords() throws {
        #expect(try LeaseGrant(words: grant.words) == grant)
        #expect(
            grant.words == [
                0x1_0000_0002, 30_000 | 2 << 32, 0x7F00_1234_5000, 7 | 4096 << 32,
                0x7F00_1235_0000, 8 | 5 << 32,
            ])
    }

    @Test func aGrantNamesALeaseAndItsMemory() {
        var words = grant.words
        words[0] = 0
        #expect(throws: LeaseGrantError.noLease) { try LeaseGrant(words: words) }
        words[0] = 1
        words[3] = 7
        #expect(throws: LeaseGrantError.segment(.noBytes)) { try LeaseGrant(words: words) }
        for count in 0..<6 {
            #expect(throws: LeaseGrantError.wrongLength(words: count)) {
                try LeaseGrant(words: Array(grant.words.prefix(count)))
            }
        }
        #expect(throws: LeaseGrantError.wrongLength(words: 2)) {
            try LeaseGrant(words: [1, 30_000])
        }
        #expect(throws: LeaseGrantError.wrongLength(words: 2)) {
            try LeaseGrant(words: [1, UInt64.max])
        }
    }
}

@Suite struct RemoteSegmentTests {
    @Test func aSegmentIsTheSameAfterItsWords() throws {
        let segment = RemoteSegment(
            address: 0x7F00_1234_5678, remoteKey: 0xDEAD_BEEF, lengthBytes: 4 << 20)
        #expect(try RemoteSegment(words: segment.words) == segment)
        #expect(segment.words[1] == 0x0040_0000_DEAD_BEEF)
    }

    @Test func aSegmentHasBytesAndAnEnd() {
        #expect(throws: RemoteSegmentError.noBytes) {
            try RemoteSegment(words: [4096, 7])
        }
        #expect(throws: RemoteSegmentError.beyondAddressSpace) {
            try RemoteSegment(words: [UInt64.max - 1, 2 << 32])
        }
        #expect(throws: Never.self) { try RemoteSegment(words: [UInt64.max - 2, 2 << 32]) }
    }

    /// Every length that a body may have gives the counts it was made of, and no other length any.
    @Test(arguments: [OperationCode.write, .read, .batchWrite, .batchRead])
    func lengthsAndCountsBelongTogether(operation: OperationCode) throws {
        var shapes: [UInt32: RemoteBodyShape] = [:]
        let isBatch = operation == .batchWrite || operation == .batchRead
        for count in 1...(isBatch ? BodyLayout.batchLimit : RemoteBodyShape.segmentLimit) {
            let shape = try #require(
                RemoteBodyShape(
                    of: operation, itemCount: isBatch ? count : 1, segmentCount: count))
            #expect(shape.bodyBytes == shape.segmentsOffset + 16 * count)
            #expect(throws: Never.self) { try shape.check(countWord: UInt64(count)) }
            #expect(throws: RemoteSegmentError.wrongCount(UInt64(count) + 1)) {
                try shape.check(countWord: UInt64(count) + 1)
            }
            shapes[shape.bodyBytes] = shape
        }
        for bytes in 0...(BodyLayout.remoteBodyLimitBytes + 64) {
            #expect(RemoteBodyShape(of: operation, bodyBytes: bytes) == shapes[bytes])
        }
        #expect(RemoteBodyShape(of: operation, bodyBytes: .max) == nil)
        #expect(RemoteBodyShape(of: operation, itemCount: 0, segmentCount: 0) == nil)
        #expect(RemoteBodyShape(of: operation, itemCount: 2, segmentCount: 1) == nil)
    }

    @Test func onlyOperationsWithValuesNameMemory() {
        for operation in OperationCode.allCases {
            let stream = operation.withValuesInPayload
            #expect(
                (RemoteBodyShape(of: operation, itemCount: 1, segmentCount: 1) != nil)
                    == (stream != nil))
            if let stream { #expect(stream.withValuesInRemoteMemory == operation) }
        }
    }

    @Test func theLongestBodyIsAFullBatchWrite() {
        let shape = RemoteBodyShape(
            of: .batchWrite, itemCount: BodyLayout.batchLimit,
            segmentCount: BodyLayout.batchLimit)
        #expect(shape?.bodyBytes == BodyLayout.remoteBodyLimitBytes)
    }
}

@Suite struct QueuePairOfferTests {
    private let offer = QueuePairOffer(
        port: 9900, credits: 64, messageLimitBytes: 16640, sessionID: 0x0102_0304_0506_0708,
        nonce: QueuePairNonce(words: [1, 2]),
        addresses: [DeviceAddress(192, 0, 2, 1), DeviceAddress(words: [0xB80D_0120, 1 << 56])])

    @Test func anOfferIsTheSameAfterItsWords() throws {
        let again = try QueuePairOffer(words: offer.words)
        #expect(again.words == offer.words)
        #expect(again.addresses.map(\.description) == ["192.0.2.1", "2001:db8:0:0:0:0:0:1"])
    }

    @Test func whatOffersNothingIsRefused() {
        func refusal(_ change: (inout [UInt64]) -> Void) -> QueuePairOfferError? {
            var words = offer.words
            change(&words)
            do throws(QueuePairOfferError) {
                _ = try QueuePairOffer(words: words)
                return nil
            } catch {
                return error
            }
        }
        #expect(refusal { $0[0] &= ~0xFFFF } == .noPort)
        #expect(refusal { $0[0] &= ~0xFFFF_0000 } == .noCredits)
        #expect(
            refusal { $0[0] = $0[0] & 0xFFFF_FFFF | 375 << 32 }
                == .messagesTooShort(limitBytes: 375))
        #expect(refusal { $0[0] = $0[0] & 0xFFFF_FFFF | 376 << 32 } == nil)
        #expect(refusal { $0[4] |= 1 << 16 } == .reservedNotZero)
        #expect(
            refusal {
                $0 = Array($0.prefix(5)); $0[4] = 0
            } == .noAddress)
        #expect(refusal { $0[4] = 3 } == .wrongLength(words: 9))
        #expect(refusal { $0.removeLast() } == .wrongLength(words: 8))
        #expect(refusal { $0 = [] } == .wrongLength(words: 0))
        #expect(
            refusal {
                $0[4] = 17; $0 += Array(repeating: 0, count: 30)
            }
                == .wrongLength(words: 39))
    }

    @Test func aRefusalsTextArrivesAndIsBounded() {
        for text in ["", "no RDMA device", "exactly8", "é"] {
            #expect(QueuePairRefusal.text(words: QueuePairRefusal.words(text)) == text)
        }
        let long = String(repeating: "é", count: 200)
        let words = QueuePairRefusal.words(long)
        #expect(words.count == QueuePairRefusal.wordLimit)
        #expect(QueuePairRefusal.text(words: words) == String(repeating: "é", count: 128))
        #expect(QueuePairRefusal.text(words: [0x0A42_1B41]) == "A B ")
    }
}

@Suite struct QueuePairGreetingTests {
    private let nonce = QueuePairNonce(words: [3, 4])
    private let secret = Secret(words: [5, 6, 7, 8])

    private func keys(
        _ secret: Secret?, session: UInt64 = 9, nonce: QueuePairNonce? = nil
    ) -> QueuePairKeys {
        QueuePairKeys(secret: secret, sessionID: session, nonce: nonce ?? self.nonce)
    }

    @Test func aGreetingIsBelievedByItsPeer() throws {
        for secret in [secret, nil] {
            let said = QueuePairGreeting(
                from: .client, sessionID: 9, nonce: nonce, keys: keys(secret))
            let heard = try QueuePairGreeting(words: said.words, from: .client)
            #expect(heard.sessionID == 9)
            #expect(heard.hasCode(of: keys(secret)))
        }
    }

    @Test func anyBitMakesADifference() {
        let said = QueuePairGreeting(from: .client, sessionID: 9, nonce: nonce, keys: keys(secret))
        for bit in 0..<(QueuePairGreeting.byteCount * 8) {
            var words = said.words
            words[bit / 64] ^= 1 << UInt64(bit % 64)
            let heard = try? QueuePairGreeting(words: words, from: .client)
            #expect(heard?.hasCode(of: keys(secret)) != true, "bit \(bit)")
        }
    }

    @Test func nobodyElsesKeysGiveTheCode() {
        let said = QueuePairGreeting(from: .client, sessionID: 9, nonce: nonce, keys: keys(secret))
        #expect(!said.hasCode(of: keys(nil)))
        #expect(!said.hasCode(of: keys(Secret(words: [5, 6, 7, 9]))))
        #expect(!said.hasCode(of: keys(secret, session: 10)))
        #expect(!said.hasCode(of: keys(secret, nonce: QueuePairNonce(words: [3, 5]))))
    }

    /// What the client said is no answer to it, even with the role changed.
    @Test func aGreetingCantBeSentBack() throws {
        let said = QueuePairGreeting(from: .client, sessionID: 9, nonce: nonce, keys: keys(secret))
        #expect(throws: QueuePairGreetingError.wrongRole(1)) {
            try QueuePairGreeting(words: said.words, from: .server)
        }
        var words = said.words
        words[0] = words[0] & ~(0xFFFF << 48) | 2 << 48
        let changed = try QueuePairGreeting(words: words, from: .server)
        #expect(!changed.hasCode(of: keys(secret)))
        // Nor does it become one of a client with leases.
        words[0] = words[0] & ~(0xFFFF << 48) | 3 << 48
        let asked = try QueuePairGreeting(words: words, from: .leaseholder)
        #expect(!asked.hasCode(of: keys(secret)))
    }

    @Test func bytesAreReadAsTheyCome() throws {
        let said = QueuePairGreeting(from: .server, sessionID: 9, nonce: nonce, keys: keys(secret))
        var bytes: [UInt8] = []
        for index in 0..<said.words.count {
            for byte in 0..<8 {
                bytes.append(UInt8(truncatingIfNeeded: said.words[index] >> UInt64(byte * 8)))
            }
        }
        // The connection manager fills its private data up with zeros.
        bytes += [UInt8](repeating: 0, count: 8)
        #expect(try QueuePairGreeting(bytes: bytes.span, from: .server).hasCode(of: keys(secret)))
        let short = Array(bytes.prefix(47))
        #expect(throws: QueuePairGreetingError.tooShort(byteCount: 47)) {
            try QueuePairGreeting(bytes: short.span, from: .server)
        }
    }

    @Test func aQueuePairsKeysDiffer() {
        let one = keys(secret)
        let secrets = [one.greeting, one.clientToServer, one.serverToClient]
        for (index, left) in secrets.enumerated() {
            for right in secrets[(index + 1)...] { #expect(!left.matches(right)) }
        }
    }
}
