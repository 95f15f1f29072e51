// Netlink's bytes against those written by hand from linux/netlink.h and rdma/rdma_netlink.h.

#if Verbs

import Testing
import Verbs

@Suite struct NetlinkTests {
    private static func bytes(_ hexadecimal: String) -> [UInt8] {
        hexadecimal.split(whereSeparator: \.isWhitespace).map { UInt8($0, radix: 16)! }
    }

    @Test func aLinkIsMadeByNameTypeAndInterface() {
        let request = RDMALinks.makeRequest("memkv_eth0", type: "rxe", on: "eth0")
        #expect(
            request.bytes(sequence: 7)
                == Self.bytes(
                    """
                    34 00 00 00 03 14 05 00 07 00 00 00 00 00 00 00
                    0f 00 02 00 6d 65 6d 6b 76 5f 65 74 68 30 00 00
                    08 00 41 00 72 78 65 00
                    09 00 33 00 65 74 68 30 00 00 00 00
                    """))
    }

    @Test func aLinkIsRemovedByIndex() {
        #expect(
            RDMALinks.removeRequest(258).bytes(sequence: 1)
                == Self.bytes(
                    "18 00 00 00 04 14 05 00 01 00 00 00 00 00 00 00 08 00 01 00 02 01 00 00"))
    }

    @Test func allLinksAreOneDump() {
        #expect(
            RDMALinks.listRequest().bytes(sequence: 2)
                == Self.bytes("10 00 00 00 01 14 01 03 02 00 00 00 00 00 00 00"))
    }

    /// A device, a message of somebody else's question, the end.
    private static let dump = bytes(
        """
        24 00 00 00 01 14 02 00 02 00 00 00 00 00 00 00
        08 00 01 00 03 00 00 00
        09 00 02 00 72 78 65 30 00 00 00 00
        10 00 00 00 01 14 02 00 09 00 00 00 00 00 00 00
        14 00 00 00 03 00 02 00 02 00 00 00 00 00 00 00 00 00 00 00
        """)

    @Test func anAnswerIsReadToItsEnd() throws {
        let answers = try #require(NetlinkAnswer.all(in: Self.dump, sequence: 2))
        #expect(answers.count == 2)
        guard case .attributes(let device) = answers[0] else {
            Issue.record("\(answers[0])")
            return
        }
        #expect(device.number(1) == 3)
        #expect(device.text(2) == "rxe0")
        #expect(device.number(2) != 3)
        #expect(device.number(99) == nil)
        #expect(answers[1] == .end(0))
    }

    @Test func aRefusalIsAnErrno() {
        let refusal = Self.bytes(
            """
            24 00 00 00 02 00 00 00 05 00 00 00 00 00 00 00
            ff ff ff ff 18 00 00 00 04 14 05 00 05 00 00 00 00 00 00 00
            """)
        #expect(NetlinkAnswer.all(in: refusal, sequence: 5) == [.end(1)])
    }

    @Test func nestedAttributesRepeat() throws {
        // Two resources: "pd" 2 times, "ctx" 5 times; the second length says that it is nested.
        let summary = Self.bytes(
            """
            34 00 0f 80
            18 00 10 80 07 00 11 00 70 64 00 00 0c 00 12 00
            02 00 00 00 00 00 00 00
            18 00 10 80 08 00 11 00 63 74 78 00 0c 00 12 00
            05 00 00 00 00 00 00 00
            """)
        let attributes = try #require(NetlinkAttributes(summary))
        let found = attributes.nested(15).flatMap { $0.nested(16) }
        #expect(found.count == 2)
        #expect(found.last?.text(17) == "ctx")
        #expect(found.last?.number(18) == 5)
    }

    @Test func whatIsCutOffIsNoAnswer() {
        for length in 1..<Self.dump.count where ![36, 52].contains(length) {
            let cut = Array(Self.dump.prefix(length))
            #expect(NetlinkAnswer.all(in: cut, sequence: 2) == nil, "\(length) bytes")
        }
        var long = Self.dump
        long[16] = 0x40
        #expect(NetlinkAnswer.all(in: long, sequence: 2) == nil)
    }
}

#endif
