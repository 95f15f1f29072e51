// AdminSettings: how the admin endpoint is protected.
//
// Refuses a certificate without its key and the other way round, and a token that no header can
// carry or that can be guessed.

internal import Schema

/// Certificate, key and token of the admin endpoint.
package struct AdminSettings: Sendable {
    /// PEM files, both or neither.
    package let files: (certificate: String, key: String)?
    /// What a client must show to be told more than health and readiness.
    package let token: String?

    static let shortestToken = 16
    static let longestToken = 256

    init(_ document: ServerDocument) throws(ConfigurationError) {
        switch (document.certificate, document.certificateKey) {
        case (nil, nil): files = nil
        case (let certificate?, let key?): files = (certificate.value, key.value)
        case (let certificate?, nil):
            throw certificate.refused(
                "a certificate without its key; give network.tls_key too, or remove this")
        case (nil, let key?):
            throw key.refused(
                "a key without its certificate; give network.tls_cert too, or remove this")
        }
        token = document.adminToken?.value
        if let token = document.adminToken { try Self.check(token) }
    }

    /// RFC 6750, section 2.1: letters, digits, - . _ ~ + / and = at the end.
    private static func check(_ token: Setting<String>) throws(ConfigurationError) {
        let bytes = Array(token.value.utf8)
        guard (shortestToken...longestToken).contains(bytes.count) else {
            throw token.refused(
                "a token has \(shortestToken) to \(longestToken) characters, this has "
                    + "\(bytes.count); `openssl rand -hex 32` makes one")
        }
        let marks = Set("-._~+/=".utf8)
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let isWritable = bytes.allSatisfy {
            letters.contains($0 | 0x20) || digits.contains($0) || marks.contains($0)
        }
        guard isWritable else {
            throw token.refused(
                "a token is made of letters, digits and -._~+/=; `openssl rand -hex 32` makes one")
        }
    }
}
