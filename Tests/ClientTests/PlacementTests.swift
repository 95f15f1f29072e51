// Placement: the document's vectors, fair shares, and who moves when a server comes or goes.

import Foundation
import Testing
import Wire

@testable import Client

@Suite struct PlacementTests {
    private func servers(_ names: String...) throws -> [ServerAddress] {
        try names.map(ServerAddress.init(parsing:))
    }

    private func keys(_ count: Int) -> [BlockKey] {
        (0..<count).map { KeyRule.key("key \($0)", namespace: Namespace(UInt32($0 % 3))) }
    }

    @Test func theDocumentsVectorsAreTheCodes() throws {
        let names = ["10.0.0.1:9900", "10.0.0.2:9900", "kv3.example:9900", "[fd00::4]:9901"]
        let servers = try names.map(ServerAddress.init(parsing:))
        let placement = Placement(over: servers)
        let document = try String(
            contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Docs/client.md"), encoding: .utf8)
        var found = 0
        for line in document.split(separator: "\n") {
            let cells = line.split(separator: "|").map {
                $0.trimmingCharacters(in: CharacterSet(charactersIn: " `"))
            }
            guard cells.count == 4, let namespace = UInt32(cells[0]) else { continue }
            let key = KeyRule.key(cells[1], namespace: Namespace(namespace))
            #expect(names[placement.server(for: key).rawValue] == cells[2])
            #expect(String(placement.bestScore(for: key), radix: 16) == cells[3])
            found += 1
        }
        #expect(found == 7)
    }

    @Test func anAddressIsNamedInOneWay() throws {
        let written = try servers("Host.Example", "[FE80::A]", "h:1")
        #expect(
            written.map(\.placementName) == ["host.example:9900", "[fe80::a]:9900", "h:1"])
    }

    @Test func theOrderOfTheListDoesNotMatter() throws {
        let forwards = try servers("a:1", "b:2", "c:3")
        let one = Placement(over: forwards)
        let other = Placement(over: forwards.reversed())
        for key in keys(500) {
            #expect(one.server(for: key).rawValue == 2 - other.server(for: key).rawValue)
        }
    }

    /// Four standard deviations of a fair draw.
    @Test func sharesAreFair() throws {
        for count in [2, 3, 7, 16] {
            let list = (1...count).map { ServerAddress(host: "10.0.0.\($0)", port: 9900) }
            let placement = Placement(over: list)
            let keys = keys(20_000)
            var shares = [Double](repeating: 0, count: count)
            for key in keys { shares[placement.server(for: key).rawValue] += 1 }
            let mean = Double(keys.count) / Double(count)
            let deviation = (mean * (1 - 1 / Double(count))).squareRoot()
            for share in shares { #expect(abs(share - mean) < 4 * deviation) }
        }
    }

    @Test func onlyTheNewServersKeysMove() throws {
        let before = try servers("a:1", "b:2", "c:3")
        let after = before + [ServerAddress(host: "d", port: 4)]
        let (old, new) = (Placement(over: before), Placement(over: after))
        var moved = 0
        for key in keys(2000) {
            let (from, to) = (old.server(for: key), new.server(for: key))
            if from == to { continue }
            moved += 1
            #expect(to.rawValue == 3)
        }
        #expect((400...600).contains(moved))
    }
}
