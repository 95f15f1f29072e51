// TransportBudget: what all transports of a daemon share: places for sessions, and the slabs that
// payloads on their way in may hold.
//
// Always holds: sessions in all, and sessions of each address, never exceed their limits, whichever
// shard accepted them; nothing is allocated after `init`. Refuses a session by naming which limit
// it met. Taken and given back at accept and close alone, so a lock costs nothing that matters.

#if IOUring

package import Engine
internal import Synchronization

/// Where a connection comes from: an IPv4 address, or the first 64 bits of an IPv6 one, which is
/// what one customer of a provider has.
struct PeerAddress: Hashable, Sendable, FixedMapKey {
    let bits: UInt64
    let isIPv6: Bool

    func mapHash(seed: UInt64) -> UInt64 { bits.mapHash(seed: isIPv6 ? ~seed : seed) }
}

/// The budget. Shared by the shards' threads.
package final class TransportBudget: Sendable {
    /// Whether a session has a place.
    enum Admission: Hashable, Sendable {
        case admitted
        case everyPlaceTaken
        case addressHasItsShare
    }

    private struct Sessions: ~Copyable {
        var count = 0
        var ofAddress: FixedMap<PeerAddress, Int>
    }

    private let limits: SessionLimits
    let inbound: InboundShare
    private let sessions: Mutex<Sessions>

    /// For transports of `configuration` over `slabs`. `seed` keeps clients from choosing addresses
    /// that collide.
    package init(
        configuration: TransportConfiguration, slabs: SlabPool,
        seed: UInt64 = .random(in: 0 ... .max)
    ) {
        limits = configuration.limits
        inbound = InboundShare(limit: configuration.inboundSlabs(of: slabs) ?? 0)
        sessions = Mutex(
            Sessions(ofAddress: FixedMap(capacity: configuration.limits.sessions, seed: seed)))
    }

    /// Takes a place for a session from `address`.
    func admit(_ address: PeerAddress) -> Admission {
        sessions.withLock { sessions in
            if sessions.count == limits.sessions { return .everyPlaceTaken }
            let held = sessions.ofAddress[address] ?? 0
            if held >= limits.sessionsPerAddress { return .addressHasItsShare }
            sessions.ofAddress.set(address, to: held + 1)
            sessions.count += 1
            return .admitted
        }
    }

    /// Gives back a place that `admit` took.
    func leave(_ address: PeerAddress) {
        sessions.withLock { sessions in
            guard let held = sessions.ofAddress[address] else {
                preconditionFailure("a session's place is given back twice")
            }
            sessions.count -= 1
            if held == 1 {
                sessions.ofAddress.remove(address)
            } else {
                sessions.ofAddress.set(address, to: held - 1)
            }
        }
    }
}

#endif
