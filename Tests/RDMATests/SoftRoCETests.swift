// Soft-RoCE and the choice of devices as far as a machine without RDMA shows them: names, refusals
// with what to do, addresses.

#if IOUring && Verbs

import Engine
import Foundation
import Glibc
import SoftRoCE
import Testing
import Verbs

@testable import RDMA

@Suite struct SoftRoCETests {
    private static let hasRDMA = FileManager.default.fileExists(atPath: "/sys/class/infiniband")

    private func refusal(_ source: any DeviceSource) -> String? {
        do throws(RDMAProblem) {
            try source.prepare()
            _ = try source.choose(from: [])
            return nil
        } catch {
            return error.description
        }
    }

    @Test func anInterfaceThatIsNotThereIsNamedWithThoseThatAre() throws {
        for name in ["nothere0", "", "a/b", "../lo", "much-too-long-for-one"] {
            let said = try #require(refusal(SoftRoCELink(interface: name)))
            #expect(said.hasPrefix("Soft-RoCE: no network interface \(name); there are: "))
            #expect(said.contains("lo"))
            #expect(SoftRoCELink.obstacle(on: name) != nil)
        }
        #expect(SoftRoCELink.obstacle(on: "lo") == nil)
        let said = try #require(refusal(InterfaceDevice("nothere0")))
        #expect(said.hasPrefix("no network interface nothere0; there are: "))
    }

    @Test(.enabled(if: !hasRDMA)) func aKernelWithoutRDMASaysWhatToLoad() {
        #expect(refusal(SoftRoCELink(interface: "lo")) == SoftRoCEProblem.noModule.description)
        #expect(SoftRoCEProblem.noModule.description.contains("modprobe rdma_rxe"))
        for source in [NamedDevice("mlx5_0"), InterfaceDevice("lo"), AnyDevice(preferred: .any)]
            as [any DeviceSource]
        {
            #expect(refusal(source) == RDMAProblem.noRDMA.description)
        }
    }

    @Test func theKernelsRefusalsAreToldApart() {
        func problem(_ code: Int32, isVLAN: Bool = false) -> SoftRoCEProblem {
            SoftRoCEProblem(
                VerbsError("to make an rxe link on eth0", code), link: "memkv_eth0",
                interface: "eth0", isVLAN: isVLAN)
        }
        #expect(problem(EPERM) == .noPermission(interface: "eth0"))
        #expect(problem(EPERM).description.contains("CAP_NET_ADMIN"))
        #expect(problem(EPERM).description.contains("rdma link add rxe0 type rxe netdev eth0"))
        #expect(problem(EPERM, isVLAN: true) == .vlan("eth0"))
        #expect(problem(EINVAL) == .noModule)
        #expect(problem(EPROTONOSUPPORT) == .noModule)
        #expect(problem(ENFILE) == .nameTaken("memkv_eth0"))
        #expect(problem(ENODEV).description.contains("no network interface eth0"))
        #expect(
            problem(ENOMEM).description
                == "Soft-RoCE: to make an rxe link on eth0: Cannot allocate memory (errno 12)")
    }

    @Test func aLimitOfLockedMemoryIsNamed() {
        let problem = RDMAProblem.lockedMemory(
            device: "rxe0", bytes: ByteCount(UInt64(300) << 20), limitBytes: 8 << 20)
        #expect(problem.description.contains("can't have the 300 MiB of memory"))
        #expect(problem.description.contains("which is 8192 KiB (ulimit -l"))
    }

    @Test func anInterfaceIsClaimedOnce() throws {
        let interface = try #require(NetworkInterface("lo"))
        let first = interface.claim()
        #expect(first != nil)
        #expect(interface.claim() == nil)
        withExtendedLifetime(first) {}
    }

    @Test func theServersOwnAddressIsPreferred() {
        let mine = RDMAAddress(v4: [10, 0, 0, 1])
        let other = RDMAAddress(v4: [10, 0, 1, 1])
        func chosen(_ addresses: [RDMAAddress], _ network: RDMAAddress = .any) -> [RDMAAddress] {
            ListeningAddresses.chosen(from: addresses, network: network)
        }
        #expect(chosen([other, mine], mine) == [mine])
        #expect(chosen([other, mine]) == [other, mine])
        #expect(chosen([other, mine], RDMAAddress(v4: [127, 0, 0, 1])) == [other, mine])
        #expect(chosen([]) == [])
    }

    @Test func anAddressOfOneLinkIsKnown() {
        let link = RDMAAddress(bytes: [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1])
        #expect(link.isLinkLocal)
        #expect(!RDMAAddress(v4: [10, 0, 0, 1]).isLinkLocal)
    }
}

extension RDMAAddress {
    fileprivate static let any = RDMAAddress(v4: [0, 0, 0, 0])
}

#endif
