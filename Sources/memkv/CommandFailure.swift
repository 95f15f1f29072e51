// CommandFailure: how a command ends when it doesn't end well: an exit code and one sentence for
// the user.

import Client
import Wire

/// The end of a command that isn't `done`.
struct CommandFailure: Error, Hashable {
    let status: ExitStatus
    /// What went wrong and what to do; empty when the output says it already.
    let message: String

    init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }
}

extension CommandFailure {
    /// The server couldn't be reached.
    init(_ error: ConnectError, server: ServerAddress) {
        switch error {
        case .refused:
            self.init(
                .unreachable,
                "\(server) refused the connection; is memkvd running? "
                    + "Start it with 'make run' or 'memkvd --data DIR'.")
        case .timedOut:
            self.init(
                .unreachable, "\(server) didn't answer in time; check the address or --timeout")
        case .unknownHost(let sentence):
            self.init(.unreachable, "the host of \(server) can't be found: \(sentence)")
        case .unreachable(let sentence):
            self.init(.unreachable, "\(server) can't be reached: \(sentence)")
        case .noDevice(let sentence):
            self.init(.usage, "RDMA is asked for: \(sentence)")
        case .session(.queuePairRefused(let status, let reason)):
            self.init(
                .refused,
                "\(server): \(SessionFailure.queuePairRefused(status, reason)); "
                    + "use --transport auto or tcp, or configure rdma there")
        case .session(.wrongServerProof):
            self.init(.refused, "\(server): \(SessionFailure.wrongServerProof)")
        case .session(.connectRefused(let status)):
            self.init(
                .refused, "\(server) refused the session: \(Self.sentence(for: status))")
        case .session(let failure):
            self.init(.unreachable, "\(server): \(failure)")
        }
    }

    /// A request about `subject` didn't end with `ok`; `client` performed it for `key`.
    init(_ error: ClientError, subject: String, key: BlockKey, by client: BlockingClient) {
        switch error {
        case .ended(let status):
            self.init(Self.exitStatus(for: status), "\(subject): \(Self.sentence(for: status))")
        case .bufferTooSmall(let needed):
            self.init(
                .refused, "\(subject): its value has \(needed) bytes, more than the server allows")
        case .connectionLost, .serverUnavailable:
            self.init(unavailable: key, by: client)
        case .notTaken(let reason):
            self.init(.refused, "\(subject): \(reason)")
        }
    }

    /// The server of `key` can't be reached, for the reason that `client` knows.
    init(unavailable key: BlockKey, by client: BlockingClient) {
        let number = client.placement.server(for: key)
        let server = client.configuration.servers[number.rawValue]
        guard let problem = client.problem(of: number) else {
            self.init(.unreachable, "\(server): no answer before the deadline")
            return
        }
        self.init(problem, server: server)
    }

    static func exitStatus(for status: Status) -> ExitStatus {
        switch status {
        case .ok: .done
        case .notFound: .difference
        case .deadlineExceeded, .outcomeUnknown: .unreachable
        case .checksumMismatch: .damaged
        case .noSpace, .fileSystemFull, .invalidRequest, .unsupportedVersion, .tooLarge,
            .driveUnavailable, .busy, .shuttingDown, .unauthenticated, .forbidden,
            .unsupported, .unavailable, .unknownLease:
            .refused
        }
    }

    static func sentence(for status: Status) -> String {
        switch status {
        case .ok: "done"
        case .notFound: "not found"
        case .noSpace: "the store is full; delete blocks, or switch storage.eviction on"
        case .fileSystemFull:
            "the file system under the server's drive is full, the store is not; make room there"
        case .invalidRequest: "the server calls the request invalid"
        case .unsupportedVersion: "the server speaks another version of the protocol"
        case .tooLarge: "above a limit of the server"
        case .checksumMismatch: "damaged: the bytes that arrived don't have their checksum"
        case .deadlineExceeded: "the deadline passed; nothing was changed"
        case .outcomeUnknown: "the deadline passed or the connection broke; done or not is unknown"
        case .driveUnavailable: "the drives it could be on are absent or offline"
        case .busy: "the server is busy; nothing was changed, try again"
        case .shuttingDown: "the server is shutting down; nothing was changed"
        case .unauthenticated:
            "it asks for a key that it knows; give one by MEMKV_AUTH_KEY or --auth-key-file"
        case .forbidden: "the key doesn't open this namespace"
        case .unsupported: "the server doesn't do this, as it is built or configured"
        case .unavailable: "the server can't do this at present"
        case .unknownLease: "the lease has expired; nothing was changed, try again"
        }
    }
}
