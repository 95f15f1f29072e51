// QueuePairOffers: the offers that wait for their clients, and who is let in by them.
//
// Always holds: an offer is taken once, by the first greeting that names it or by the shard that
// takes it back, whichever comes first, and is spent whatever the greeting is worth.
// Refuses: a greeting that is none, or of no offer; one that comes too late; a wrong nonce or code,
// compared in constant time.
//
// Plain values: no verbs, no clock, no memory.

package import Engine
package import Wire

/// A queue pair that a client may open.
package struct QueuePairOpening: Sendable {
    package let place: QueuePairPlace
    package let nonce: QueuePairNonce
    package let keys: QueuePairKeys
    package let isSigned: Bool
    package let expires: Instant
}

/// What becomes of somebody who asks for a connection.
package enum QueuePairAdmission: Sendable {
    /// Let in, as the role that it says to have, and greeted back with `answer`.
    case admitted(QueuePairOpening, QueuePairRole, answer: QueuePairGreeting)
    /// Turned away, which is counted; `place` is that of the offer it has spent.
    case refused(RDMACounter, place: QueuePairPlace?)
}

/// The offers of a daemon.
package struct QueuePairOffers: Sendable {
    private var openings: [UInt64: QueuePairOpening] = [:]

    package init() {}

    /// Makes an offer and returns its name. `secret` is what its keys follow from; nil for a
    /// session without a key. Its name is a number that `name` draws: whoever could guess it
    /// could spend the offer.
    package mutating func open(
        _ place: QueuePairPlace, nonce: QueuePairNonce, secret: Secret?, expires: Instant,
        drawing name: () -> UInt64
    ) -> UInt64 {
        var offer: UInt64 = 0
        while offer == 0 || openings[offer] != nil { offer = name() }
        openings[offer] = QueuePairOpening(
            place: place, nonce: nonce,
            keys: QueuePairKeys(secret: secret, sessionID: offer, nonce: nonce),
            isSigned: secret != nil, expires: expires)
        return offer
    }

    /// Takes an offer; nil when it was taken before, or there is none.
    package mutating func take(_ offer: UInt64) -> QueuePairOpening? {
        openings.removeValue(forKey: offer)
    }

    /// Judges the private data of somebody who asks for a connection.
    package mutating func admit(_ privateData: [UInt8], now: Instant) -> QueuePairAdmission {
        guard let greeting = Self.greeting(privateData), let opening = take(greeting.sessionID)
        else { return .refused(.refusedGreetings, place: nil) }
        guard now < opening.expires else {
            return .refused(.refusedGreetings, place: opening.place)
        }
        guard FrameTag(words: greeting.nonce.words).matches(FrameTag(words: opening.nonce.words)),
            greeting.hasCode(of: opening.keys)
        else { return .refused(.forgedGreetings, place: opening.place) }
        return .admitted(
            opening, greeting.role,
            answer: QueuePairGreeting(
                from: .server, sessionID: greeting.sessionID, nonce: opening.nonce,
                keys: opening.keys))
    }

    private static func greeting(_ bytes: [UInt8]) -> QueuePairGreeting? {
        (try? QueuePairGreeting(bytes: bytes.span, from: .client))
            ?? (try? QueuePairGreeting(bytes: bytes.span, from: .leaseholder))
    }
}
