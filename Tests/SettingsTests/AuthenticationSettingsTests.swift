// The keys of the data port: which are taken, which addresses they open, and what is refused
// without a digit of a key in the message.

import Engine
import Testing
import Wire

@testable import Schema
@testable import Settings

private let first = String(repeating: "0a", count: 32)
private let second = String(repeating: "b1", count: 32)

private func settings(
    _ text: String, listen: String? = nil, environment: [String: String] = [:]
) throws(ConfigurationError) -> ServerSettings {
    let invocation = try ServerInvocation(
        listenFlag: listen, dataFlag: "/tmp/store", configFlag: nil, environment: environment)
    let document = try ServerDocument(text: text, file: "memkvd.yaml")
    return try ServerSettings(invocation: invocation, document: document)
}

private func refusal(
    _ text: String, listen: String? = nil, environment: [String: String] = [:]
) -> String? {
    do throws(ConfigurationError) {
        _ = try settings(text, listen: listen, environment: environment)
        return nil
    } catch {
        return error.description
    }
}

@Suite struct AuthenticationSettingsTests {
    @Test func keysArriveWithTheirNamespaces() throws {
        let read = try settings(
            """
            network:
              auth_keys:
                - \(first)
                - { key: \(second), namespaces: [1, 4294967295] }
              payload_mac: true
            """
        ).authentication
        #expect(read.keys.count == 2)
        #expect(read.keys[0].key == AuthenticationKey(hexadecimal: first))
        #expect(read.keys[0].namespaces == nil)
        #expect(read.keys[1].namespaces == [Namespace(1), Namespace(.max)])
        #expect(read.tagsPayloads)
    }

    @Test func oneKeyHasAKeyOfItsOwn() throws {
        let read = try settings("network: { auth_key: \(first), auth_keys: [ \(second) ] }")
        #expect(
            read.authentication.keys.map(\.key)
                == [first, second].map {
                    AuthenticationKey(hexadecimal: $0)
                })
        #expect(!read.authentication.tagsPayloads)
    }

    @Test func theEnvironmentsKeyReplacesTheFiles() throws {
        let read = try settings(
            "network: { auth_key: \(first) }", environment: ["MEMKV_AUTH_KEY": second])
        #expect(read.authentication.keys.map(\.key) == [AuthenticationKey(hexadecimal: second)])
        #expect(
            refusal("", environment: ["MEMKV_AUTH_KEY": "12"])?.hasPrefix("MEMKV_AUTH_KEY: a key")
                == true)
    }

    @Test func anAddressThatOthersReachNeedsAKeyOrAWord() throws {
        let open = "0.0.0.0:9900"
        #expect(
            refusal("", listen: open)?.hasPrefix("--listen: 0.0.0.0 can be reached by others")
                == true)
        #expect(refusal("network: { address: \"10.1.2.3:9900\", insecure: false }") != nil)
        #expect(try settings("network: { insecure: true }", listen: open).listen.host == "0.0.0.0")
        #expect(try settings("network: { auth_key: \(first) }", listen: open).listen.port == 9900)
        #expect(refusal("", listen: "127.8.9.10:9900") == nil)
    }

    @Test(arguments: [
        ("network: { auth_key: abc }", "network.auth_key: a key is 64 hexadecimal digits"),
        (
            "network: { auth_keys: [ \(first), \(first) ] }",
            "network.auth_keys[1]: this key is given twice"
        ),
        (
            "network: { auth_key: \(first), auth_keys: [ { key: \(first) } ] }",
            "network.auth_keys[0].key: this key is given twice"
        ),
        ("network: { auth_keys: \(first) }", "network.auth_keys: expected a list"),
        (
            "network: { auth_keys: [ { namespaces: [1] } ] }",
            "network.auth_keys[0].key: missing"
        ),
        (
            "network: { auth_keys: [ { key: \(first), namespaces: [] } ] }",
            "network.auth_keys[0].namespaces: expected a list with at least one entry"
        ),
        (
            "network: { auth_keys: [ { key: \(first), namespaces: [1, -1] } ] }",
            "network.auth_keys[0].namespaces[1]: \"-1\" is not a namespace"
        ),
        (
            "network: { auth_keys: [ { key: \(first), namespace: [1] } ] }",
            "network.auth_keys[0].namespace: unknown key; "
                + "did you mean network.auth_keys[0].namespaces?"
        ),
        ("network: { payload_mac: true }", "network.payload_mac: needs a key"),
    ])
    func mistakesAreNamed(text: String, problem: String) throws {
        let message = try #require(refusal(text))
        #expect(message.hasPrefix("memkvd.yaml:1: \(problem)"), "\(message)")
        #expect(!message.contains("0a0a"))
    }

    @Test func thereIsALimit() {
        let keys = (0..<257).map { number in
            String(repeating: "0", count: 60) + String(0x1000 + number, radix: 16)
        }
        let list = { (count: Int) in keys.prefix(count).joined(separator: ", ") }
        #expect(refusal("network: { auth_keys: [ \(list(256)) ] }") == nil)
        #expect(
            refusal("network: { auth_keys: [ \(list(257)) ] }")?.contains("more than 256 keys")
                == true)
    }
}
