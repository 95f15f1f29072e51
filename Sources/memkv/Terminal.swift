// What goes to the user: sentences on stderr, answers on stdout, JSON where a program asked for it.

import Foundation

enum Terminal {
    static func standardError(_ text: String) {
        FileHandle.standardError.write(Data((text + "\n").utf8))
    }

    /// A sentence about what went wrong.
    static func complain(_ sentence: String) { standardError("memkv: \(sentence)") }

    /// An answer for a program: one JSON value, keys sorted.
    static func json(
        _ value: some Encodable, keys: JSONEncoder.KeyEncodingStrategy = .useDefaultKeys
    ) throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = keys
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
}
