// The admin endpoint's protection: what is taken and what is refused.

import Engine
import Testing

@testable import Schema
@testable import Settings

private func admin(_ text: String) throws(ConfigurationError) -> AdminSettings {
    let invocation = try ServerInvocation(
        listenFlag: nil, dataFlag: "/tmp/store", configFlag: nil, environment: [:])
    let document = try ServerDocument(text: text, file: "memkvd.yaml")
    return try ServerSettings(invocation: invocation, document: document).admin
}

@Suite struct AdminSettingsTests {
    @Test func withoutAnythingTheEndpointIsOpen() throws {
        let read = try admin("network: { address: 127.0.0.1:9900 }")
        #expect(read.files == nil)
        #expect(read.token == nil)
    }

    @Test func certificateKeyAndTokenArrive() throws {
        let read = try admin(
            "network: { tls_cert: /a.pem, tls_key: /b.pem, admin_token: 0123456789abcdef }")
        #expect(read.files?.certificate == "/a.pem")
        #expect(read.files?.key == "/b.pem")
        #expect(read.token == "0123456789abcdef")
    }

    @Test(
        arguments: [
            ("tls_cert: /a.pem", "network.tls_cert: a certificate without its key"),
            ("tls_key: /a.pem", "network.tls_key: a key without its certificate"),
            ("admin_token: short", "a token has 16 to 256 characters, this has 5"),
            ("admin_token: \"0123456789 abcdef\"", "a token is made of letters"),
        ])
    func whatIsIncompleteOrWeakIsRefused(text: String, problem: String) {
        let error = #expect(throws: ConfigurationError.self) {
            _ = try admin("network: { \(text) }")
        }
        #expect(error?.description.contains(problem) == true)
    }
}
