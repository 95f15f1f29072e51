// AdminSecurity: what stands between the admin endpoint and whoever can reach its port.
//
// Always holds: health and readiness are told to everybody, since probers have no secrets; all else
// only to who shows the token, where there is one. Tokens are compared in a time that says nothing
// of how much of one was right. Refuses a certificate or a key that can't be used, at start.

internal import NIOSSL

/// Certificate, key and token of the admin endpoint; none of them by default.
package struct AdminSecurity: Sendable {
    /// PEM files: the certificate with the chain behind it, and its key.
    package struct Files: Sendable {
        let certificate: String
        let key: String

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    /// What Hummingbird is given; nil for plain HTTP.
    let transport: TransportSecurity?
    let token: String?

    /// With `files`, answers over TLS only; with `token`, tells what isn't for everybody to who
    /// sends it as a bearer token (RFC 6750).
    package init(files: Files? = nil, token: String? = nil) throws(AdminServerError) {
        transport = if let files { try TransportSecurity(files) } else { nil }
        self.token = token
    }

    /// Whether a request for `path` with this Authorization header is answered.
    func admits(_ path: AdminPath, authorization: String?) -> Bool {
        guard let token, path != .health, path != .ready else { return true }
        guard let authorization, authorization.lowercased().hasPrefix("bearer ") else {
            return false
        }
        return Self.areEqual(authorization.dropFirst(7).utf8, token.utf8)
    }

    private static func areEqual(_ sent: some Collection<UInt8>, _ right: String.UTF8View) -> Bool {
        guard sent.count == right.count else { return false }
        return zip(sent, right).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// A certificate and its key, read and found to belong together.
struct TransportSecurity: Sendable {
    let configuration: TLSConfiguration

    init(_ files: AdminSecurity.Files) throws(AdminServerError) {
        do {
            let chain = try NIOSSLCertificate.fromPEMFile(files.certificate)
            guard !chain.isEmpty else {
                throw AdminServerError.failed("\(files.certificate) holds no certificate")
            }
            let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
            let configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
            _ = try NIOSSLContext(configuration: configuration)
            self.configuration = configuration
        } catch let error as AdminServerError {
            throw error
        } catch {
            throw .failed("\(files.certificate) and \(files.key) can't be used: \(error)")
        }
    }
}
