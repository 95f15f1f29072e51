// SimulatedWorld: virtual time and the rolling fingerprint of everything that happened in it.
//
// Always holds: time moves forward only, and only when the driver says so; each noted event changes
// the fingerprint, so two runs that differ anywhere end with different fingerprints. No clock is
// read.

package import Engine

/// A rolling hash over the events of a run, order included.
package struct Fingerprint: Hashable, Sendable {
    package private(set) var value: UInt64 = 0

    package init() {}

    package mutating func add(_ word: UInt64) {
        value = Mixer.mix(value &* 0x9E37_79B9_7F4A_7C15 &+ word &+ 0x632B_E59B_D9B4_E019)
    }

    /// 16 hex digits.
    package var hexadecimal: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// What a noted event was.
package enum WorldEvent: UInt64, Sendable {
    case submitted = 1
    case completed, failed, requested, replied
    /// Of the world around a server: bytes that arrive, what clients are told, faults, the server's
    /// life.
    case arrived, connected, disconnected, answered, struck, ended, started, stopped
}

/// The time and the history of one world; shared by its devices and transports, on one thread.
package final class SimulatedWorld {
    package private(set) var now: Instant
    package private(set) var fingerprint = Fingerprint()

    /// Called with each event: its number, the time, what it was and three words about it.
    package var observer: ((UInt64, Instant, WorldEvent, UInt64, UInt64, UInt64) -> Void)?
    private var noted: UInt64 = 0

    package init(now: Instant = Instant(nanoseconds: 1_000_000_000)) { self.now = now }

    /// Moves time to `instant`; traps when that lies in the past.
    package func advance(to instant: Instant) {
        precondition(instant >= now, "time can't run backwards")
        now = instant
    }

    package func note(
        _ event: WorldEvent, _ first: UInt64, _ second: UInt64, _ third: UInt64
    ) {
        noted += 1
        observer?(noted, now, event, first, second, third)
        fingerprint.add(event.rawValue ^ now.nanoseconds << 8)
        fingerprint.add(first)
        fingerprint.add(second)
        fingerprint.add(third)
    }
}
