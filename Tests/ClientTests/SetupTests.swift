// memkv setup without a drive: what it decides and the configuration it prints.

import Engine
import Foundation
import Settings
import Testing

@testable import memkv

@Suite struct SetupTests {
    private func plan(_ paths: [String]) throws -> SetupPlan {
        try SetupPlan(
            paths: paths, maximumFileBytes: 64 << 30, blockBytes: 4 << 20,
            minimumSlotBytes: 64 << 10)
    }

    private static let oneStore = StoreIdentity(high: 1, low: 1)

    /// A drive of a store of two, 64 GiB unless said otherwise.
    private func store(
        _ id: StoreIdentity = oneStore, drive: UInt64, blockBytes: UInt32 = 4 << 20,
        members: Int = 2, capacityBytes: UInt64 = 64 << 30, sizeBytes: UInt64 = 64 << 30
    ) -> SetupContent {
        SetupContent(
            load: .store(
                DriveFacts(
                    formatVersion: 1, storeID: id, driveID: StoreIdentity(high: 0, low: drive),
                    memberCount: members, blockSizeBytes: blockBytes, minimumSlotBytes: 64 << 10,
                    capacityBytes: capacityBytes, usableBytes: capacityBytes, blockCount: 0)),
            sizeBytes: sizeBytes)
    }

    private let nothing = SetupContent(load: .nothing)
    private let damaged = SetupContent(load: .damagedStore, sizeBytes: 64 << 30)

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

    @Test func theConfigurationHasTheRDMADeviceThatWasNamed() throws {
        func end(_ rdma: SetupRDMA?) throws -> String {
            let plan = try SetupPlan(
                paths: ["/data/drive-0"], maximumFileBytes: 64 << 30, blockBytes: 4 << 20,
                minimumSlotBytes: 64 << 10, rdma: rdma)
            return plan.configurationYAML.components(separatedBy: "enabled: true\n")[1]
        }
        #expect(try end(nil) == "")
        #expect(try end(.device("mlx5_0")) == "rdma:\n  device: mlx5_0\n")
        #expect(try end(.softRoCE("eth0")) == "rdma:\n  soft_roce: eth0\n")
        #expect(try end(.softRoCE("7:é")) == "rdma:\n  soft_roce: \"7:é\"\n")
    }

    @Test func aStoreIsFormattedOnlyWhereNothingIsLost() throws {
        let two = try plan(["/nowhere/a", "/nowhere/b"])
        let whole = [store(drive: 1), store(drive: 2)]
        #expect(try two.decide([nothing, nothing], force: false, idempotent: false) == .format)
        #expect(try two.decide([nothing, nothing], force: false, idempotent: true) == .format)
        #expect(try two.decide(whole, force: false, idempotent: true) == .keep)
        #expect(try two.decide([whole[0], damaged], force: true, idempotent: false) == .format)
        let other = store(StoreIdentity(high: 2, low: 2), drive: 2)
        let ext4 = SetupContent(
            load: .foreign([ForeignSignature(usage: "filesystem", type: "ext4", label: "")]),
            sizeBytes: 64 << 30)
        let refused: [([SetupContent], Bool)] = [
            (whole, false), ([whole[0], nothing], true), ([nothing, damaged], true),
            ([whole[0], other], true), ([whole[0], whole[0]], true), ([nothing, ext4], false),
            ([nothing, SetupContent(load: .unknownData, sizeBytes: 1)], false),
            ([nothing, SetupContent(load: .nothing, sizeBytes: 4 << 20)], false),
            ([store(drive: 1, blockBytes: 8 << 20), store(drive: 2, blockBytes: 8 << 20)], true),
            ([store(drive: 1, members: 3), store(drive: 2, members: 3)], true),
            ([store(drive: 1), store(drive: 2, capacityBytes: 32 << 30)], true),
            ([store(drive: 1), store(drive: 2, sizeBytes: 32 << 30)], true),
        ]
        for (contents, idempotent) in refused {
            #expect {
                _ = try two.decide(contents, force: false, idempotent: idempotent)
            } throws: { ($0 as? CommandFailure)?.status == .refused }
        }
        // A store of a newer format isn't given up by a program that can't tell what it is.
        let newer = SetupContent(load: .newerStore(version: 9), sizeBytes: 64 << 30)
        #expect(throws: CommandFailure.self) {
            _ = try two.decide([newer, nothing], force: true, idempotent: false)
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
