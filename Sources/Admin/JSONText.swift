// JSONText: the JSON that the admin endpoint answers with, keys in the order in which they are
// documented.
//
// It writes only; nothing here reads JSON.

/// A JSON value to be written.
indirect enum JSONText {
    case text(String)
    case number(UInt64)
    case flag(Bool)
    case list([JSONText])
    case object([(key: String, value: JSONText)])

    /// The value on one line, without spaces.
    var rendered: String {
        switch self {
        case .text(let text): Self.quoted(text)
        case .number(let number): String(number)
        case .flag(let flag): flag ? "true" : "false"
        case .list(let values): "[" + values.map(\.rendered).joined(separator: ",") + "]"
        case .object(let members):
            "{"
                + members.map { "\(Self.quoted($0.key)):\($0.value.rendered)" }
                .joined(separator: ",") + "}"
        }
    }

    /// RFC 8259, section 7: quotes, backslashes and control characters are escaped, nothing else.
    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
