// Sessions with a key on the ring: what is counted, what ends, and that nothing is left over.
// Tests/EndToEnd/authentication.py does the same and much more to a whole memkvd.

#if IOUring

import ContractSuites
import Engine
import IOUring
import Testing
import Wire

@Suite(.serialized) struct AuthenticationTests {
    private func key(_ digit: Character) throws -> AuthenticationKey {
        try #require(AuthenticationKey(hexadecimal: String(repeating: digit, count: 64)))
    }

    private let body = [UInt8](repeating: 7, count: 32)

    @Test func whatIsRefusedIsCounted() throws {
        let first = try key("1")
        let second = try key("2")
        let keys = ServerKeys([ScopedKey(key: first, namespaces: [Namespace(0)])])
        try withServer(keys: keys) { server in
            let plain = TestClient(port: server.port, greets: false)
            plain.send(TestClient.connectFrame())
            #expect(plain.receive()?.header.status == .unauthenticated)
            #expect(plain.isAtEnd())
            #expect(
                AuthenticatedClient(port: server.port, key: second).status == .unauthenticated)
            let wrong = AuthenticatedClient(port: server.port, key: first, spoilsProof: true)
            #expect(wrong.status == .unauthenticated)
            #expect(server.counters.value(.failedAuthentications) == 3)
            #expect(server.counters.value(.authenticatedSessions) == 0)
            let right = AuthenticatedClient(port: server.port, key: first)
            #expect(right.status == .ok)
            #expect(server.counters.value(.authenticatedSessions) == 1)
            right.send(.tcpGet, namespace: 4, body: body)
            #expect(right.receive() == .forbidden)
            #expect(server.counters.value(.forbiddenRequests) == 1)
            right.client.send(TestClient.frame(.tcpGet, id: 9, body: body))
            #expect(right.receive() == .unauthenticated)
            #expect(right.client.isAtEnd())
            #expect(server.counters.value(.forgedFrames) == 1)
        }
    }

    @Test func aReplacedKeyEndsItsSessionsAlone() throws {
        let first = ScopedKey(key: try key("1"), namespaces: nil)
        let second = ScopedKey(key: try key("2"), namespaces: nil)
        let keys = ServerKeys([first, second])
        try withServer(keys: keys) { server in
            let leaving = AuthenticatedClient(port: server.port, key: first.key)
            let staying = AuthenticatedClient(port: server.port, key: second.key)
            keys.replace(with: [second])
            server.wake()
            #expect(leaving.client.isAtEnd())
            #expect(server.counters.value(.revokedSessions) == 1)
            staying.send(.tcpDelete, body: body)
            #expect(staying.receive() == .invalidRequest, "which the echo says of a delete")
        }
    }

    /// A server that gets its first key has no use for sessions without one, and the other way
    /// round.
    @Test func theFirstAndTheLastKeyEndWhatWasThere() throws {
        let only = ScopedKey(key: try key("1"), namespaces: nil)
        let keys = ServerKeys()
        try withServer(keys: keys) { server in
            #expect(
                AuthenticatedClient(port: server.port, key: only.key).status == .unauthenticated)
            let plain = TestClient(port: server.port)
            keys.replace(with: [only])
            server.wake()
            #expect(plain.isAtEnd())
            let keyed = AuthenticatedClient(port: server.port, key: only.key)
            #expect(keyed.status == .ok)
            keys.replace(with: [])
            server.wake()
            #expect(keyed.client.isAtEnd())
            #expect(TestClient(port: server.port).receive(count: 0) != nil)
        }
    }
}

#endif
