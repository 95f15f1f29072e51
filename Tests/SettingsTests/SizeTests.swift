// Sizes as people write them, and the names they probably meant.

import Engine
import Testing

@testable import Schema
@testable import Settings

@Suite struct SizeTests {
    @Test(
        arguments: [
            ("4 MiB", 4 << 20), ("4MiB", 4 << 20), ("1 TiB", 1 << 40), ("4096", 4096), ("0 B", 0),
            ("64 KiB", 65536), ("3 GiB", 3 << 30),
        ] as [(String, UInt64)])
    func aSizeIsReadExactly(text: String, bytes: UInt64) {
        #expect(ByteSize.parse(text) == ByteCount(bytes))
    }

    @Test(arguments: [
        "", "MiB", "4 MB", "4 mib", "-4 MiB", "+4 MiB", "1.5 GiB", "4  MiB", "4 MiB ", " 4 MiB",
        "0x10", "18446744073709551616", "16777216 TiB", "٤ MiB",
    ])
    func whatIsNoSizeIsRefused(text: String) {
        #expect(ByteSize.parse(text) == nil)
    }

    @Test func aSizeIsWrittenInTheLargestUnitThatFits() {
        #expect(ByteSize.format(ByteCount(UInt64(4 << 20))) == "4 MiB")
        #expect(ByteSize.format(ByteCount(UInt64(4097))) == "4097 B")
        #expect(ByteSize.format(.zero) == "0 B")
        #expect(ByteSize.format(ByteCount(UInt64(1 << 50))) == "1024 TiB")
    }

    @Test func aSlipOfTheFingersFindsItsName() {
        let names = ["block_size", "min_slot", "max_size"]
        #expect(NearestName.of("blok_size", among: names) == "block_size")
        #expect(NearestName.of("max_siez", among: names) == "max_size")
        #expect(NearestName.of("colour", among: names) == nil)
        #expect(NearestName.of("x", among: []) == nil)
        #expect(NearestName.distance(Array("kitten"), Array("sitting")) == 3)
    }
}
