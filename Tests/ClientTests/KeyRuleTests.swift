// The rule from text to key, and addresses as users write them.

import Client
import Testing
import Wire

@Suite struct KeyRuleTests {
    @Test func hexDigitsAreTheKeyAndTextIsHashed() {
        let digits = String(repeating: "0aF1", count: 16)
        let space = Namespace(4)
        #expect(KeyRule.key(digits, namespace: space).hexadecimal == digits.lowercased())
        #expect(KeyRule.key(digits, namespace: space).namespace == space)
        // One digit less, one more, one that is none: texts. Expected values from sha256sum.
        #expect(
            KeyRule.key("", namespace: space).hexadecimal
                == "e3164ad3524917a5f606d06baf9e9a045e63b8c41af1ff554da836c34ea9475a")
        #expect(
            KeyRule.key("größe", namespace: space).hexadecimal
                == "1909be1e5db9a16440dc04867cf45de3df7ecae6ee06513c4d944a45e698f450")
        let keys = [digits, String(digits.dropLast()), digits + "0", digits.dropLast() + "g"]
            .map { KeyRule.key($0, namespace: space) }
        #expect(Set(keys).count == 4)
    }

    @Test func addressesAreHostsAndPorts() throws {
        let good: [(String, String, UInt16)] = [
            ("a.example", "a.example", 9900), ("10.0.0.1:80", "10.0.0.1", 80),
            ("[::1]", "::1", 9900),
            ("[::1]:5", "::1", 5),
        ]
        for (text, host, port) in good {
            #expect(try ServerAddress(parsing: text) == ServerAddress(host: host, port: port))
        }
        for text in [
            "", ":1", "a:", "a:0", "a:65536", "a:x", "::1", "[::1", "[::1]x", "[]:1", "a b",
        ] {
            #expect(throws: AddressError.self) { try ServerAddress(parsing: text) }
        }
        #expect(ServerAddress(host: "::1", port: 1).description == "[::1]:1")
        #expect(ServerAddress(host: "a", port: .max).admin == nil)
    }
}
