// Who is answered: with and without a token.

import Testing

@testable import Admin

@Suite struct AdminSecurityTests {
    private let token = "0123456789abcdef"

    @Test func withoutATokenEverybodyIsAnswered() throws {
        let open = try AdminSecurity()
        for path in AdminPath.allCases { #expect(open.admits(path, authorization: nil)) }
    }

    @Test func healthAndReadinessAreForEverybody() throws {
        let closed = try AdminSecurity(token: token)
        for path in AdminPath.allCases {
            let isOpen = path == .health || path == .ready
            #expect(closed.admits(path, authorization: nil) == isOpen)
            #expect(closed.admits(path, authorization: "Bearer wrong-wrong-wrong") == isOpen)
            #expect(closed.admits(path, authorization: "Bearer " + token + "0") == isOpen)
            #expect(closed.admits(path, authorization: token) == isOpen)
            #expect(closed.admits(path, authorization: "Bearer " + token))
            #expect(closed.admits(path, authorization: "bearer " + token))
        }
    }

    @Test func filesThatAreNoneAreRefusedByName() {
        #expect {
            try AdminSecurity(files: .init(certificate: "/no/cert.pem", key: "/no/key.pem"))
        } throws: { error in
            guard case .failed(let sentence) = error as? AdminServerError else { return false }
            return sentence.contains("/no/cert.pem and /no/key.pem can't be used")
        }
    }
}
