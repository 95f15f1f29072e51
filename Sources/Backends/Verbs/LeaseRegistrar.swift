// LeaseRegistrar: lets clients reach leased memory, and takes that back: the control thread's part
// of leases.
//
// A queue pair for leases has a protection domain of its own, in which lie its messages, without
// remote access, and its leases, each stretch of memory registered exactly. So a remote key is
// worth something on one queue pair, for one lease's bytes, until the lease's registrations have
// ended. Registrations rather than memory windows: a device that compares an access with a window's
// underlying region only (rxe) would open the whole region. Where windows are to be used, `expose`
// and `revoke` are what changes.
//
// Always holds: memory that a client may write to is zero when it is exposed; memory is exposed
// whole or not at all; `isOver` is said only when every
// registration has ended. Where one can't be ended, its queue pair must be destroyed: then nobody
// reaches its domain any more, whatever stays registered there.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import Engine
internal import QueuePairs
internal import Verbs
internal import Wire

/// The registrations. Confined to the control thread.
struct LeaseRegistrar {
    private struct Home {
        let domain: ProtectionDomain
        /// Kept as long as the domain.
        let messages: RegisteredMemory
        var leases: [Int: [ExposedMemory]] = [:]
    }

    private var homes: [QueuePairPlace: Home] = [:]

    /// A domain for a queue pair with leases, and what names `messages` in it.
    mutating func open(
        _ place: QueuePairPlace, on device: RDMADevice, messages: ArenaRange, of arena: Arena
    ) throws(VerbsError) -> (domain: ProtectionDomain, localKey: UInt32) {
        let domain = try ProtectionDomain(device)
        let memory = unsafe try RegisteredMemory(arena.bytes(messages), in: domain, for: .none)
        homes[place] = Home(domain: domain, messages: memory)
        return (domain, memory.localKey)
    }

    /// Exposes the stretches of a lease to its queue pair.
    mutating func expose(
        _ lease: LeasePlace, _ ranges: [ArenaRange], of arena: Arena, for access: LeaseAccess
    ) -> LeaseOutcome {
        guard let domain = homes[lease.queuePair]?.domain else { return .refused(isOver: true) }
        // What was there is somebody else's. Whoever commits what it never wrote would learn from
        // the answer whether it guessed the checksum of that.
        if access == .write { for range in ranges { arena.zero(range) } }
        var exposed: [ExposedMemory] = []
        do throws(VerbsError) {
            for range in ranges {
                exposed.append(
                    unsafe try ExposedMemory(
                        arena.bytes(range), in: domain,
                        for: access == .read ? RemoteAccess.read : .write))
            }
        } catch {
            homes[lease.queuePair]?.leases[lease.index] = exposed
            return .refused(isOver: revoke(lease))
        }
        homes[lease.queuePair]?.leases[lease.index] = exposed
        return .exposed(
            exposed.map {
                RemoteSegment(
                    address: $0.address, remoteKey: $0.remoteKey, lengthBytes: UInt32($0.byteCount))
            })
    }

    /// Takes a lease's memory back; true when nobody can reach any of it any more.
    mutating func revoke(_ lease: LeasePlace) -> Bool {
        do throws(VerbsError) {
            for memory in homes[lease.queuePair]?.leases[lease.index] ?? [] { try memory.end() }
        } catch {
            return false
        }
        homes[lease.queuePair]?.leases[lease.index] = nil
        return true
    }

    /// The queue pair is destroyed: takes back what is left.
    mutating func end(_ place: QueuePairPlace) { homes[place] = nil }
}

#endif
