// LeaseTable: who has leased memory of this shard, and how far each lease has come.
//
//           take                exposed                  end                   revoked
//   free ─────────► granting ────────────► granted ────────────► revoking ───────────────► free
//                      │ refused              │                      │
//                      ├──► free              │                      │
//                      └──────────────────────┴──────────────────────┴──── forget ────────► free
//
//   granting   slabs are held, and the control thread lets the client's queue pair reach them
//   granted    the client may write, or read, until `expires`
//   revoking   the control thread takes the access away: for a Commit, a Release, or because the
//              time is over. What a Commit committed is looked at afterwards: then it is a request
//              like any other, and no lease any more
//
// Always holds: a lease is one queue pair's, and for others it isn't there; an id names one lease,
// and never a later one in the same place; a lease leaves `granted` once, so that of two Commits
// one finds none; its memory may be looked at, or given back, when `revoked` has returned or when
// its queue pair is destroyed, and not before.
// Refuses: an id that is none, or another queue pair's, or of a lease that isn't granted any more;
// one lease more than a queue pair may have.
//
// Plain values: no verbs, no clock, no memory. A call in a state that it isn't for traps.

internal import Engine
internal import Wire

/// What a lease's client may do.
enum LeaseUse: Hashable, Sendable {
    /// Write, and commit it under the key.
    case write(BlockKey)
    /// Read a value with this checksum.
    case read(checksum: UInt64)
}

/// Why a lease ends. Rows are those of requests that wait for it.
enum LeaseEnd: Hashable, Sendable {
    case commit(row: Int)
    case release(row: Int)
    case expiry
}

/// A place for a lease.
struct Lease: Hashable, Sendable {
    enum State: Hashable, Sendable {
        case free
        /// For the request in `row`.
        case granting(row: Int)
        case granted
        case revoking(LeaseEnd)
    }

    fileprivate(set) var state = State.free
    /// Raised at each use of the place.
    fileprivate var generation: UInt32 = 0
    fileprivate(set) var use = LeaseUse.read(checksum: 0)
    fileprivate(set) var lengthBytes: UInt32 = 0
    fileprivate(set) var expires = Instant.never
}

/// The leases of one shard: of each queue pair, so many places.
struct LeaseTable: ~Copyable {
    private var leases: FixedArray<Lease>
    let leasesPerPair: Int

    init(pairs: Int, leasesPerPair: Int) {
        self.leasesPerPair = leasesPerPair
        leases = FixedArray(count: pairs * leasesPerPair, repeating: Lease())
    }

    var count: Int { leases.count }

    subscript(place: Int) -> Lease { leases[place] }

    func pair(of place: Int) -> Int { place / leasesPerPair }

    func places(of pair: Int) -> Range<Int> {
        (pair * leasesPerPair)..<((pair + 1) * leasesPerPair)
    }

    /// Leases of a queue pair, in whatever state.
    func held(by pair: Int) -> Int {
        places(of: pair).count { leases[$0].state != .free }
    }

    /// What the client calls the lease in `place`: never 0.
    func id(of place: Int) -> UInt64 {
        UInt64(leases[place].generation) << 32 | UInt64(place + 1)
    }

    /// The place of a granted lease; nil when the queue pair has none of that id.
    func find(_ id: UInt64, of pair: Int) -> Int? {
        guard let number = Int(exactly: id & 0xFFFF_FFFF), number > 0,
            places(of: pair).contains(number - 1), leases[number - 1].state == .granted,
            self.id(of: number - 1) == id
        else { return nil }
        return number - 1
    }

    /// A granted lease of the queue pair whose time is over; nil when there is none.
    func expired(of pair: Int, now: Instant) -> Int? {
        places(of: pair).first { leases[$0].state == .granted && leases[$0].expires <= now }
    }

    // MARK: - What happens

    /// Takes a place for a lease, which the request in `row` asks for; nil when the queue pair has
    /// all it may have.
    mutating func take(
        _ pair: Int, use: LeaseUse, lengthBytes: UInt32, row: Int
    ) -> Int? {
        let places = places(of: pair)
        guard let place = places.first(where: { leases[$0].state == .free }) else { return nil }
        leases[place].generation &+= 1
        leases[place].state = .granting(row: row)
        leases[place].use = use
        leases[place].lengthBytes = lengthBytes
        leases[place].expires = .never
        return place
    }

    /// The client can reach the memory from now on; returns the row that asked for it.
    mutating func exposed(_ place: Int, until expires: Instant) -> Int {
        guard case .granting(let row) = leases[place].state else { trap(place, "exposed") }
        leases[place].state = .granted
        leases[place].expires = expires
        return row
    }

    /// The memory couldn't be exposed, and nobody can reach it; returns the row that asked for it.
    mutating func refused(_ place: Int) -> Int {
        guard case .granting(let row) = leases[place].state else { trap(place, "refused") }
        leases[place].state = .free
        return row
    }

    /// The client's access is to be taken away.
    mutating func end(_ place: Int, by end: LeaseEnd) {
        guard leases[place].state == .granted else { trap(place, "ended by \(end)") }
        leases[place].state = .revoking(end)
    }

    /// Nobody can reach the memory any more; returns what for.
    mutating func revoked(_ place: Int) -> LeaseEnd {
        guard case .revoking(let end) = leases[place].state else { trap(place, "revoked") }
        leases[place].state = .free
        return end
    }

    /// The queue pair is destroyed, and with it every access. False when there was no lease.
    mutating func forget(_ place: Int) -> Bool {
        guard leases[place].state != .free else { return false }
        leases[place].state = .free
        return true
    }

    private func trap(_ place: Int, _ event: String) -> Never {
        preconditionFailure("lease \(place) in state \(leases[place].state) is \(event)")
    }
}
