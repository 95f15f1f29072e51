// Placement: which server a key belongs to, the same for every process and language
// (Docs/client.md): rendezvous hashing (Thaler and Ravishankar, IEEE/ACM Transactions on
// Networking 6(1), 1998) over the servers' names.
//
// Always holds: it follows from the key and the set of names alone, neither from their order nor
// from who is up. Adding a server to n moves the keys that become its own, one in n + 1, and no
// other; removing one moves its keys only.

package import Wire

/// A server's place in the configured list.
package struct ServerNumber: Hashable, Sendable {
    package let rawValue: Int
    package init(_ rawValue: Int) { self.rawValue = rawValue }
}

/// A server's name as placement counts it: what was configured, with the port written out and A to
/// Z in lower case. Not the address that it resolves to, and not the store's id: a server must be
/// known to own its keys while nobody can reach it.
extension ServerAddress {
    package var placementName: String {
        String(
            decoding: description.utf8.map { (65...90).contains($0) ? $0 + 32 : $0 },
            as: UTF8.self)
    }
}

package struct Placement: Sendable {
    private let names: [String]
    private let seeds: [UInt64]

    package init(over servers: [ServerAddress]) {
        precondition(!servers.isEmpty, "keys can't be placed over no servers")
        names = servers.map(\.placementName)
        seeds = names.map { OwnedBytes(Array($0.utf8)).source.xxh3 }
    }

    /// The server whose score for the key is highest; of equals, the one whose name is first in
    /// byte order.
    package func server(for key: BlockKey) -> ServerNumber {
        seeds.count == 1 ? ServerNumber(0) : best(for: key).server
    }

    /// The highest score for the key.
    func bestScore(for key: BlockKey) -> UInt64 { best(for: key).score }

    private func best(for key: BlockKey) -> (server: ServerNumber, score: UInt64) {
        let mixed = key.mixed(seed: 0)
        var best = 0
        var bestScore = BlockKey.finalize(mixed ^ seeds[0])
        for candidate in 1..<seeds.count {
            let score = BlockKey.finalize(mixed ^ seeds[candidate])
            let wins =
                score > bestScore || score == bestScore && comesFirst(candidate, before: best)
            if wins { (best, bestScore) = (candidate, score) }
        }
        return (ServerNumber(best), bestScore)
    }

    private func comesFirst(_ left: Int, before right: Int) -> Bool {
        names[left].utf8.lexicographicallyPrecedes(names[right].utf8)
    }
}
