// RetryingLink: one connection of a transfer, made anew whenever it breaks.
//
//   connected --request not done--> pausing --> connected … until the transfer's clock gives up
//
// Always holds: a request is sent again only when its outcome allows it. An unknown outcome of a
// put does: what is stored here is named by its own content, so that doing it twice is doing it
// once. Refuses (with the last reason): going on when nothing got done for the transfer's timeout.

import Client
import Glibc
import Wire

final class RetryingLink {
    private let server: ServerAddress
    private let key: AuthenticationKey?
    private let clock: ProgressClock
    private var connection: TCPConnection?
    private var pauseMicroseconds: UInt32 = 0
    private var lastProblem: CommandFailure?

    private static let firstPauseMicroseconds: UInt32 = 20_000
    private static let longestPauseMicroseconds: UInt32 = 1_000_000

    init(to server: ServerAddress, key: AuthenticationKey?, clock: ProgressClock) {
        self.server = server
        self.key = key
        self.clock = clock
    }

    /// Performs all `requests`, pipelined; returns their outcomes in the same order. Every outcome
    /// is final: a status that trying again could change is tried again here.
    func perform(_ requests: [ClientRequest]) throws(CommandFailure) -> [RequestOutcome] {
        var outcomes = [RequestOutcome?](repeating: nil, count: requests.count)
        while true {
            let waiting = outcomes.indices.filter { outcomes[$0] == nil }
            if waiting.isEmpty { break }
            let connection = try connect()
            let problem = try send(requests, waiting, over: connection, to: &outcomes)
            if connection.failure != nil || !connection.hasRoom { self.connection = nil }
            guard let problem else { continue }
            lastProblem = problem
            guard TCPConnection.now < clock.giveUpAt else { throw problem }
            pause()
        }
        return outcomes.compactMap { $0 }
    }

    /// One round over one connection; returns why something is left to do, nil when nothing is.
    private func send(
        _ requests: [ClientRequest], _ indices: [Int], over connection: TCPConnection,
        to outcomes: inout [RequestOutcome?]
    ) throws(CommandFailure) -> CommandFailure? {
        var waiting = indices[...]
        var tags: [RequestTag: Int] = [:]
        var problem: CommandFailure?
        while true {
            while connection.hasRoom, let index = waiting.first {
                waiting.removeFirst()
                do {
                    let tag = try connection.submit(requests[index], deadline: clock.giveUpAt)
                    tags[tag] = index
                } catch {
                    if error == .notConnected { break }
                    throw CommandFailure(.refused, "\(server): \(error)")
                }
            }
            guard let outcome = connection.nextOutcome() else { break }
            guard let index = tags.removeValue(forKey: outcome.tag) else {
                preconditionFailure("an outcome of a request that wasn't submitted")
            }
            if let reason = reasonToRetry(outcome.status, connection) {
                problem = reason
            } else {
                outcomes[index] = outcome
                clock.tick()
                pauseMicroseconds = 0
            }
        }
        if problem == nil, outcomes.contains(where: { $0 == nil }) {
            let why = connection.failure.map { "\($0)" } ?? "the server answers too slowly"
            problem = CommandFailure(.unreachable, "\(server): \(why)")
        }
        return problem
    }

    private func reasonToRetry(
        _ status: OutcomeStatus, _ connection: TCPConnection
    ) -> CommandFailure? {
        switch status {
        case .connectionLost, .ended(.outcomeUnknown), .ended(.deadlineExceeded):
            let why = connection.failure.map { "\($0)" } ?? "no answer before the deadline"
            return CommandFailure(.unreachable, "\(server): \(why)")
        case .ended(.busy), .ended(.shuttingDown):
            guard case .ended(let status) = status else { return nil }
            return CommandFailure(.refused, "\(server): \(CommandFailure.sentence(for: status))")
        default:
            return nil
        }
    }

    private func connect() throws(CommandFailure) -> TCPConnection {
        if let connection { return connection }
        while true {
            do throws(ConnectError) {
                let made = try TCPConnection(
                    to: server, key: key, deadline: clock.giveUpAt)
                connection = made
                return made
            } catch {
                guard TCPConnection.now < clock.giveUpAt, !error.isAboutKeys else {
                    throw reason(for: error)
                }
                pause()
            }
        }
    }

    /// A connection that ran out of time did so because the transfer had: what went wrong before is
    /// the reason.
    private func reason(for error: ConnectError) -> CommandFailure {
        if error == .timedOut || error == .session(.connectTimedOut), let lastProblem {
            return lastProblem
        }
        return CommandFailure(error, server: server)
    }

    /// Waits a little longer each time, up to a second.
    private func pause() {
        pauseMicroseconds = min(
            max(pauseMicroseconds * 2, Self.firstPauseMicroseconds), Self.longestPauseMicroseconds)
        usleep(pauseMicroseconds)
    }
}
