// ByteSize: sizes as people write them, "4 MiB", to bytes and back.
//
// Refuses: fractions, signs, decimal units (a slot of "4 MB" would be no power of two) and what
// overflows.

package import Engine
package import Schema

/// A number of bytes that a person writes or reads.
package struct ByteSize: Hashable, Sendable {
    package let bytes: UInt64

    private static let units: [(name: String, shift: UInt64)] = [
        ("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40),
    ]

    package init(bytes: UInt64) { self.bytes = bytes }

    /// The size that `text` says: a whole number and, after an optional space, B, KiB, MiB, GiB or
    /// TiB; without a unit it counts bytes. Nil when it isn't one.
    package init?(parsing text: String) {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        var rest = text.dropFirst(digits.count)
        if rest.first == " " { rest = rest.dropFirst() }
        guard let number = UInt64(digits),
            let unit = rest.isEmpty ? Self.units[0] : Self.units.first(where: { $0.name == rest })
        else { return nil }
        let (bytes, overflowed) = number.multipliedReportingOverflow(by: 1 << unit.shift)
        if overflowed { return nil }
        self.bytes = bytes
    }

    /// The shortest exact spelling: "4 MiB", "4097 B"; what a configuration file holds.
    package var exact: String {
        let unit =
            Self.units.last { bytes != 0 && bytes % (1 << $0.shift) == 0 } ?? Self.units[0]
        return "\(bytes >> unit.shift) \(unit.name)"
    }

    /// The size to one decimal in a unit that suits it: "1.5 GiB"; for reading only.
    package var rounded: String {
        var tenths = bytes * 10
        if bytes > UInt64.max / 10 { return exact }
        var power = 0
        while tenths >= 10240, power < Self.units.count - 1 {
            tenths = (tenths + 512) / 1024
            power += 1
        }
        return power == 0
            ? "\(bytes) B" : "\(tenths / 10).\(tenths % 10) \(Self.units[power].name)"
    }

    /// The size that `text` says, as a count.
    package static func parse(_ text: String) -> ByteCount? {
        ByteSize(parsing: text).map { ByteCount($0.bytes) }
    }

    /// The shortest exact spelling of a count.
    package static func format(_ size: ByteCount) -> String { ByteSize(bytes: size.rawValue).exact }
}

extension DocumentSection {
    /// The size under `key`.
    package func size(_ key: String) throws(ConfigurationError) -> Setting<ByteCount>? {
        guard let text = try text(key) else { return nil }
        guard let size = ByteSize.parse(text.value) else {
            throw text.refused(
                "\"\(text.value)\" is not a size; write a whole number and B, KiB, MiB, GiB or "
                    + "TiB, such as \"4 MiB\"")
        }
        return Setting(size, key: text.key, origin: text.origin)
    }
}
