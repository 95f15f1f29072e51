// The parts of a client's step, server by server: connections go on, deadlines pass, parts are
// sent, connections are made.

internal import Wire

extension ClientCore {
    /// Answers that one step takes from a connection before the next one's turn.
    private static var answersPerTurn: Int { 16 }

    /// Receives, sends and expires on each connection; gives up those that have failed.
    mutating func advanceConnections(of number: Int, by way: Int, now: MonotonicTime) -> Bool {
        let server = servers[number]
        var moved = false
        for connection in server.ways[way].connections {
            var ended: [(Part, RequestOutcome)] = []
            let wasReady = connection.phase == .ready
            let answered = connection.answeredCount
            for _ in 0..<Self.answersPerTurn {
                guard connection.advance(now: now, ended: &ended) else { break }
                moved = true
            }
            if let (offer, keys) = connection.wanted {
                connection.join(transport.openQueuePair(offer, keys: keys))
                moved = true
            }
            if connection.phase == .ready, !wasReady { server.noteReady(connection.limits) }
            if connection.answeredCount > answered { server.ways[way].noteAnswer() }
            let failure = connection.failure(
                now: now, silenceMicroseconds: configuration.silenceMicroseconds)
            #if PLANTED_BUGS
            if configuration.plantedBug == .brokenTransferCountsAsDone,
                server.ways[way].way == .queuePair
            {
                for place in ended.indices where ended[place].1.status == .connectionLost {
                    ended[place].1.status = .ok
                    ended[place].1.valueBytes = 1
                }
            }
            #endif
            for (part, outcome) in ended { resolve(part, outcome, on: number, now: now) }
            guard let failure else { continue }
            moved = true
            lose(connection, of: number, by: way, because: failure, now: now)
        }
        return moved
    }

    /// Takes a connection out of the pool. What it held goes on only when it is closed.
    private mutating func lose(
        _ connection: PooledConnection<Transport>, of number: Int, by way: Int,
        because error: ConnectError, now: MonotonicTime
    ) {
        let server = servers[number]
        server.ways[way].connections.removeAll { $0 === connection }
        let failure: SessionFailure =
            if case .session(let failure) = error { failure } else {
                .closedByClient
            }
        let held = connection.lose(failure)
        let wasSilent = error == .session(.noAnswer) || error == .session(.connectTimedOut)
        if wasSilent {
            // The server rather than the connection: the others needn't lose requests to it, too.
            let end = now.advanced(byMicroseconds: configuration.connectMicroseconds)
            for other in server.ways[way].connections { other.prove(until: end) }
        }
        noteLoss(
            of: number, by: way, error, afterAnswer: connection.answeredCount > 0 && !wasSilent,
            now: now)
        for (part, outcome) in held { resolve(part, outcome, on: number, now: now) }
        answerWaiting(of: number, after: error)
    }

    /// A way to a server has failed: when the next attempt is made.
    private mutating func noteLoss(
        of number: Int, by way: Int, _ error: ConnectError, afterAnswer: Bool, now: MonotonicTime
    ) {
        let server = servers[number]
        server.noteLoss(by: way, error, afterAnswer: afterAnswer, now: now)
        let failures = server.ways[way].failureCount
        guard failures > 0 else { return }
        let isLast = way == server.ways.count - 1
        let series = isLast ? configuration.reconnecting : configuration.rejoining
        var pause = series.pauseMicroseconds(failures: failures, &generator)
        #if PLANTED_BUGS
        if configuration.plantedBug == .reconnectsWithoutPause { pause = 1 }
        #endif
        server.ways[way].noteNextAttempt(at: now.advanced(byMicroseconds: pause))
    }

    /// Answers what waits for a server that is down and wouldn't wait for it.
    private mutating func answerWaiting(of number: Int, after error: ConnectError) {
        let server = servers[number]
        guard server.isDown else { return }
        let table = self.table
        let unwanted = server.remove(
            where: {
                // With the wrong key nobody waits: the server's return wouldn't change it.
                error.isLasting || table[$0.slot].policy.downServer == .answerAtOnce
            },
            deadlineOf: { table[$0.slot].deadline })
        for part in unwanted { end(part, with: RetryRules.ending(.serverUnavailable, of: part)) }
    }

    /// Ends parts whose deadline has passed and that are with no connection.
    mutating func expireWaiting(of number: Int, now: MonotonicTime) -> Bool {
        let server = servers[number]
        #if PLANTED_BUGS
        if configuration.plantedBug == .waitsBeyondDeadline { return false }
        #endif
        guard server.earliestDeadline <= now else { return false }
        let table = self.table
        let late = server.remove(
            where: { table[$0.slot].deadline <= now }, deadlineOf: { table[$0.slot].deadline })
        for part in late {
            end(part, with: RetryRules.overdue(part, serverIsDown: server.isDown))
        }
        return !late.isEmpty
    }

    /// Gives waiting parts to connections, frame by frame, as long as there is room.
    mutating func sendWaiting(of number: Int, now: MonotonicTime) -> Bool {
        let server = servers[number]
        var moved = false
        while var part = server.waiting.first, let (way, connection) = server.roomiest(),
            let limits = connection.limits
        {
            moved = true
            let entry = table[part.slot]
            let tooLarge = part.items.first
            let frame = part.takeFrame(of: entry.request, limits: limits)
            if part.items.isEmpty {
                server.waiting.removeFirst()
            } else {
                server.waiting[server.waiting.startIndex] = part
            }
            guard let frame else {
                let status = RetryRules.ending(.ended(.tooLarge), of: part)
                if let tooLarge { end(tooLarge, of: part, with: ItemOutcome(status: status)) }
                continue
            }
            if connection.outstandingCount > 0 { server.ways[way].wantsAnother = true }
            do throws(SubmitError) {
                try connection.submit(frame, of: entry, now: now)
            } catch {
                preconditionFailure("a part that was cut to the limits is refused: \(error)")
            }
        }
        if moved {
            for way in server.ways.indices {
                _ = advanceConnections(of: number, by: way, now: now)
            }
        }
        return moved
    }

    /// Makes a connection where one is wanted and its time has come.
    mutating func connect(to number: Int, by way: Int, now: MonotonicTime) -> Bool {
        let server = servers[number]
        let kind = server.ways[way].way
        guard server.wantsConnection(by: way, limit: configuration.connectionLimit(of: kind)),
            now >= server.ways[way].nextAttemptAt
        else { return false }
        #if PLANTED_BUGS
        if configuration.plantedBug == .neverReconnects, server.ways[way].failureCount > 0 {
            return false
        }
        if configuration.plantedBug == .queuePairsNeverRebuilt, kind == .queuePair,
            server.ways[way].failureCount > 0
        {
            return false
        }
        #endif
        server.ways[way].wantsAnother = false
        if kind == .queuePair, let problem = transport.queuePairProblem() {
            noteLoss(of: number, by: way, problem, afterAnswer: false, now: now)
            answerWaiting(of: number, after: problem)
            return true
        }
        let credentials = configuration.key.map {
            Credentials(key: $0, nonce: transport.drawNonce())
        }
        server.ways[way].connections.append(
            PooledConnection(
                transport.open(to: server.address),
                session: ClientSession(
                    credentials: credentials, asksForQueuePair: kind == .queuePair),
                givenUpAt: now.advanced(byMicroseconds: configuration.connectMicroseconds),
                provesItself: server.ways[way].failureCount > 0))
        return true
    }
}
