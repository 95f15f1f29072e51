// Who is let in by an offer: no device is needed.

#if Verbs

import Engine
import QueuePairs
import Testing
import Wire

@Suite struct QueuePairOffersTests {
    private static let place = QueuePairPlace(shard: 1, slot: 2, generation: 3)
    private static let nonce = QueuePairNonce(words: [11, 12])
    private static let secret = Secret(words: [1, 2, 3, 4])
    private static func instant(_ number: UInt64) -> Instant { Instant(nanoseconds: number) }

    private static func bytes(_ greeting: QueuePairGreeting) -> [UInt8] {
        let words = greeting.words
        return (0..<QueuePairGreeting.byteCount).map {
            UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8))
        }
    }

    private static func greeting(
        _ offer: UInt64, nonce: QueuePairNonce = nonce, secret: Secret? = secret,
        role: QueuePairRole = .client
    ) -> [UInt8] {
        let keys = QueuePairKeys(secret: secret, sessionID: offer, nonce: nonce)
        return bytes(QueuePairGreeting(from: role, sessionID: offer, nonce: nonce, keys: keys))
    }

    private static func reason(_ admission: QueuePairAdmission) -> RDMACounter? {
        if case .refused(let reason, _) = admission { reason } else { nil }
    }

    @Test(arguments: [QueuePairRole.client, .leaseholder])
    func theRightGreetingIsLetInOnceAndGreetedBack(role: QueuePairRole) {
        var offers = QueuePairOffers()
        let offer = offers.open(
            Self.place, nonce: Self.nonce, secret: Self.secret, expires: Self.instant(100),
            drawing: { 77 })
        let first = offers.admit(Self.greeting(offer, role: role), now: Self.instant(99))
        guard case .admitted(let opening, let said, let answer) = first else {
            Issue.record("\(first)")
            return
        }
        #expect(opening.place == Self.place)
        #expect(opening.isSigned)
        #expect(said == role)
        #expect(answer.role == .server)
        #expect(answer.hasCode(of: opening.keys))
        let again = offers.admit(Self.greeting(offer, role: role), now: Self.instant(99))
        #expect(Self.reason(again) == .refusedGreetings, "an offer is spent once")
        #expect(offers.take(offer) == nil)
    }

    @Test func whatIsWrongIsTurnedAwayAndSpendsTheOffer() {
        typealias End = (place: QueuePairPlace?, reason: RDMACounter)
        let late: End = (Self.place, .refusedGreetings)
        let forged: End = (Self.place, .forgedGreetings)
        let wrongNonce = QueuePairNonce(words: [11, 13])
        let wrongSecret = Secret(words: [1, 2, 3, 5])
        let attempts: [(bytes: (UInt64) -> [UInt8], now: UInt64, end: End)] =
            [
                ({ Self.greeting($0) }, 100, late),
                ({ Self.greeting($0, nonce: wrongNonce) }, 1, forged),
                ({ Self.greeting($0, secret: wrongSecret) }, 1, forged),
                ({ Self.greeting($0, role: .server) }, 1, (nil, .refusedGreetings)),
                ({ Self.greeting($0 + 1) }, 1, (nil, .refusedGreetings)),
                ({ Array(Self.greeting($0).dropLast()) }, 1, (nil, .refusedGreetings)),
            ]
        for (bytes, now, end) in attempts {
            var offers = QueuePairOffers()
            let offer = offers.open(
                Self.place, nonce: Self.nonce, secret: Self.secret, expires: Self.instant(100),
                drawing: { 77 })
            let admission = offers.admit(bytes(offer), now: Self.instant(now))
            guard case .refused(let reason, let place) = admission else {
                Issue.record("let in: \(admission)")
                continue
            }
            #expect(reason == end.reason)
            #expect(place == end.place)
            #expect((offers.take(offer) == nil) == (place != nil), "spent by whoever names it")
        }
    }

    @Test func whatIsTakenBackLetsNobodyIn() {
        var offers = QueuePairOffers()
        let offer = offers.open(
            Self.place, nonce: Self.nonce, secret: nil, expires: Self.instant(100), drawing: { 77 })
        #expect(offers.take(offer)?.isSigned == false)
        let admission = offers.admit(Self.greeting(offer, secret: nil), now: Self.instant(1))
        #expect(Self.reason(admission) == .refusedGreetings)
    }

    /// A name that was drawn and is taken, or is none, is drawn anew.
    @Test func noTwoOffersHaveOneName() {
        var offers = QueuePairOffers()
        var drawn: [UInt64] = [0, 5, 5, 0, 9]
        let names = (0..<2).map { _ in
            offers.open(
                Self.place, nonce: Self.nonce, secret: nil, expires: Self.instant(100),
                drawing: { drawn.removeFirst() })
        }
        #expect(names == [5, 9])
    }
}

#endif
