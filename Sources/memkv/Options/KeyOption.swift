// KeyOption: where a command has its key from: a file, or the environment. Never the command line,
// which every user of the machine can read.
//
// Refuses what isn't 64 hexadecimal digits, without repeating it.

import Client
import Schema
import Wire

enum KeyOption {
    /// Longest file that is looked at: the digits and some white space.
    private static let fileLimitBytes = 4096

    /// The key in `file`, else the one in `MEMKV_AUTH_KEY`, else the configuration file's; nil when
    /// none is given.
    static func key(
        file: String?, environment: [String: String], setting: Setting<String>?
    ) throws(CommandFailure) -> AuthenticationKey? {
        if let file {
            return try key(try text(of: file), from: file)
        }
        if let text = environment["MEMKV_AUTH_KEY"] {
            // As memkvd does: a script whose key went missing must not go on without one.
            if text.isEmpty {
                throw CommandFailure(.usage, "MEMKV_AUTH_KEY is set and empty; unset it")
            }
            return try key(text, from: "MEMKV_AUTH_KEY")
        }
        guard let setting else { return nil }
        // `refused` names the line; the key itself isn't repeated.
        return try key(setting.value, from: setting.refused("it").description)
    }

    private static func text(of file: String) throws(CommandFailure) -> String {
        let memory = OwnedBytes(count: fileLimitBytes)
        let length = try InputFile(path: file).read(into: memory.destination)
        return String(decoding: memory.copy(count: length), as: UTF8.self)
    }

    private static func key(
        _ text: String, from place: String
    ) throws(CommandFailure) -> AuthenticationKey {
        let digits = text.drop(while: \.isWhitespace)
        let end = digits.lastIndex { !$0.isWhitespace }
        guard let end, let key = AuthenticationKey(hexadecimal: String(digits[...end])) else {
            throw CommandFailure(
                .usage,
                "\(place) doesn't hold a key: a key is 64 hexadecimal digits, "
                    + "`openssl rand -hex 32` makes one")
        }
        return key
    }
}
