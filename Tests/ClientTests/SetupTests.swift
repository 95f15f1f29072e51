// memkv setup without a drive: what it decides and the configuration it prints.

import Foundation
import Testing

@testable import memkv

@Suite struct SetupTests {
    private func plan(_ paths: [String]) throws -> SetupPlan {
        try SetupPlan(
            paths: paths, maximumFileBytes: 64 << 30, blockBytes: 4 << 20,
            minimumSlotBytes: 64 << 10)
    }

    private let store = SetupContent.store(
        id: "one", blockBytes: 4 << 20, minimumSlotBytes: 64 << 10)

    @Test func theConfigurationServesTheDrives() throws {
        #expect(
            try plan(["/data/drive-0", "/data/with \"quotes\""]).configurationYAML == """
                network:
                  address: 127.0.0.1:9900
                memory:
                  block_size: 4 MiB
                  max_size: 256 MiB
                storage:
                  mode: file
                  block_size: 4 MiB
                  min_slot: 64 KiB
                  drives:
                    - media: /data/drive-0
                      max_size: 64 GiB
                    - media: "/data/with \\"quotes\\""
                      max_size: 64 GiB
                  eviction:
                    enabled: true

                """)
    }

    @Test func aStoreIsFormattedOnlyWhereNothingIsLost() throws {
        let two = try plan(["a", "b"])
        #expect(try two.decide([.nothing, .nothing], force: false, idempotent: false) == .format)
        #expect(try two.decide([.nothing, .nothing], force: false, idempotent: true) == .format)
        #expect(try two.decide([store, store], force: false, idempotent: true) == .keep)
        #expect(try two.decide([store, .damagedStore], force: true, idempotent: false) == .format)
        let other = SetupContent.store(id: "two", blockBytes: 4 << 20, minimumSlotBytes: 64 << 10)
        let coarse = SetupContent.store(id: "one", blockBytes: 8 << 20, minimumSlotBytes: 64 << 10)
        let refused: [([SetupContent], Bool)] = [
            ([store, store], false), ([store, .nothing], true), ([.nothing, .damagedStore], true),
            ([store, other], true), ([coarse, coarse], true),
        ]
        for (contents, idempotent) in refused {
            #expect {
                _ = try two.decide(contents, force: false, idempotent: idempotent)
            } throws: { ($0 as? CommandFailure)?.status == .refused }
        }
    }

    @Test func sizesAreWholeAndBinary() {
        let good: [(String, UInt64)] = [
            ("4 MiB", 4 << 20), ("64KiB", 64 << 10), ("17", 17), ("3 B", 3), ("1 TiB", 1 << 40),
        ]
        for (text, bytes) in good { #expect(ByteSize(argument: text)?.bytes == bytes) }
        for text in ["", "MiB", "4 MB", "4.5 MiB", "-1", "4  MiB", "99999999 TiB", "4 mib", "² B"] {
            #expect(ByteSize(argument: text) == nil)
        }
        #expect(ByteSize(bytes: 4097).exact == "4097 B")
        #expect(ByteSize(bytes: 1536 << 20).exact == "1536 MiB")
        #expect(ByteSize(bytes: 1536 << 20).rounded == "1.5 GiB")
        #expect(ByteSize(bytes: 1023).rounded == "1023 B")
    }
}
