// Sizes as people write them: "4 MiB", "64 KiB", "1 TiB", "512 B" or plain bytes. Powers of 1024
// only.
//
// Refuses anything else: "4 MB" would be guessed wrong by half of its readers.

import ArgumentParser

/// A number of bytes that was written by a person.
struct ByteSize: Hashable, ExpressibleByArgument {
    let bytes: UInt64

    private static let units = ["B", "KiB", "MiB", "GiB", "TiB"]

    init(bytes: UInt64) { self.bytes = bytes }

    init?(argument: String) {
        let digits = argument.prefix(while: \.isNumber)
        var unit = argument.dropFirst(digits.count)
        if unit.first == " " { unit = unit.dropFirst() }
        guard let number = UInt64(digits),
            let power = unit.isEmpty ? 0 : Self.units.firstIndex(of: String(unit))
        else { return nil }
        let (bytes, overflowed) = number.multipliedReportingOverflow(by: 1 << (10 * UInt64(power)))
        guard !overflowed else { return nil }
        self.bytes = bytes
    }

    /// The exact size in its largest whole unit: "4 MiB"; what a configuration file holds.
    var exact: String {
        var number = bytes
        var power = 0
        while number > 0, number % 1024 == 0, power < Self.units.count - 1 {
            number /= 1024
            power += 1
        }
        return "\(number) \(Self.units[power])"
    }

    /// The size to one decimal in a unit that suits it: "1.5 GiB"; for reading only.
    var rounded: String {
        var tenths = bytes * 10
        if bytes > UInt64.max / 10 { return exact }
        var power = 0
        while tenths >= 10240, power < Self.units.count - 1 {
            tenths = (tenths + 512) / 1024
            power += 1
        }
        return power == 0 ? "\(bytes) B" : "\(tenths / 10).\(tenths % 10) \(Self.units[power])"
    }

    var defaultValueDescription: String { exact }
}
