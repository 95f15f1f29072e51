// What goes to the user: sentences on stderr, answers on stdout, JSON where a program asked for it.

import Client
import Foundation

enum Terminal {
    static func standardError(_ text: String) {
        try? FileHandle.standardError.write(contentsOf: Data((text + "\n").utf8))
    }

    /// A sentence about what went wrong.
    static func complain(_ sentence: String) { standardError("memkv: \(sentence)") }

    /// An answer. One that can't be written ends the process: nobody may take it for success.
    static func print(_ text: String, terminator: String = "\n") {
        do throws(CommandFailure) {
            try LocalFiles.writeToStandardOutput(OwnedBytes(Array((text + terminator).utf8)).source)
        } catch {
            complain(error.message)
            exit(error.status.rawValue)
        }
    }

    /// An answer for a program: one JSON value, keys sorted.
    static func json(
        _ value: some Encodable, keys: JSONEncoder.KeyEncodingStrategy = .useDefaultKeys
    ) throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = keys
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        Terminal.print(String(decoding: try encoder.encode(value), as: UTF8.self))
    }
}
