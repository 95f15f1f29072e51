// ByteSize: sizes as people write them, "4 MiB", to bytes and back.
//
// Refuses: fractions, signs, decimal units (a slot of "4 MB" would be no power of two) and what
// overflows.

package import Engine
package import Schema

/// Sizes in text.
package enum ByteSize {
    private static let units: [(name: String, shift: UInt64)] = [
        ("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40),
    ]

    /// The size that `text` says: a whole number and, after an optional space, B, KiB, MiB, GiB or
    /// TiB; without a unit it counts bytes. Nil when it isn't one.
    package static func parse(_ text: String) -> ByteCount? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        var rest = text.dropFirst(digits.count)
        if rest.first == " " { rest = rest.dropFirst() }
        guard let number = UInt64(digits),
            let unit = rest.isEmpty ? units[0] : units.first(where: { $0.name == rest })
        else { return nil }
        let (bytes, overflowed) = number.multipliedReportingOverflow(by: 1 << unit.shift)
        return overflowed ? nil : ByteCount(bytes)
    }

    /// The shortest exact spelling: "4 MiB", "4097 B".
    package static func format(_ size: ByteCount) -> String {
        let unit =
            units.last { size.rawValue != 0 && size.rawValue % (1 << $0.shift) == 0 } ?? units[0]
        return "\(size.rawValue >> unit.shift) \(unit.name)"
    }
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
