// LeaseClient: puts and gets through leases of one server's memory: this side moves the values by
// itself, and the server's program has no part in that. One request at a time, by one thread.
//
//   put   Allocate ─► RDMA WRITE ─► Commit
//   get   Lookup ─► RDMA READ ─► Release ─► compared with its checksum
//
// Always holds: a call returns normally only for a value that is stored, or whole and verified;
// when it returns at all, the device has let go of the caller's memory: a queue pair that failed,
// or whose answer or moves were not there by the deadline, is destroyed first. Then every further
// call fails, and the server takes its leases back with the queue pair.

#if Verbs

internal import Verbs
package import Wire

/// A client of one server, on a queue pair for leases.
package final class LeaseClient {
    private let connection: TCPConnection
    private let pair: VerbsQueuePair
    private var authentication: ClientAuthentication?
    private var nextID: UInt64 = 1
    /// Why it can't be used any more; nil while it can.
    package private(set) var failure: SessionFailure?

    /// Connects by one of the devices called `names`, or any when there are none, before
    /// `deadline`.
    package init(
        to server: ServerAddress, key: AuthenticationKey?, devices names: [String],
        deadline: MonotonicTime
    ) throws(ConnectError) {
        let devices = try RemoteDevices.find(names)
        connection = try TCPConnection(
            to: server, key: key, asksForQueuePair: true, deadline: deadline)
        guard let (offer, keys) = connection.queuePair else {
            preconditionFailure("a session that asked for a queue pair is ready without one")
        }
        pair = VerbsQueuePair(offer, keys: keys, devices: devices, role: .leaseholder)
        authentication = connection.signsFrames ? ClientAuthentication(keys) : nil
        while true {
            switch pair.opening {
            case .open: return
            case .failed(let error):
                pair.close()
                throw error
            case .pending: break
            }
            guard Socket.now < deadline else {
                pair.close()
                throw .session(.connectTimedOut)
            }
            wait(until: deadline)
        }
    }

    deinit { if failure == nil { pair.close() } }

    // MARK: Values

    /// Stores `value` durably under `key`.
    package func put(
        _ key: BlockKey, _ value: SourceBytes, deadline: MonotonicTime
    ) throws(ClientError) {
        let words = key.littleEndianWords
        let (_, body) = try ask(
            .allocate, key.namespace,
            [words[0], words[1], words[2], words[3], UInt64(value.count)], deadline)
        let lease = try grant(body, lengthBytes: value.count)
        try move(lease, deadline) { .source(value.slice(from: $0, count: $1)) }
        _ = try ask(
            .commit, key.namespace, [lease.leaseID], payloadBytes: value.count,
            checksum: value.xxh3, deadline)
    }

    /// Fetches and verifies `key`'s value; returns its length. The memory is undefined unless it
    /// returns.
    package func get(
        _ key: BlockKey, into destination: DestinationBytes, deadline: MonotonicTime
    ) throws(ClientError) -> Int {
        let words = key.littleEndianWords
        let (header, body) = try ask(
            .lookup, key.namespace, [words[0], words[1], words[2], words[3]], deadline)
        let length = Int(header.payloadBytes)
        let lease = try grant(body, lengthBytes: length)
        if length <= destination.count {
            try move(lease, deadline) { .destination(destination.slice(from: $0, count: $1)) }
        }
        do throws(ClientError) {
            _ = try ask(.release, key.namespace, [lease.leaseID], deadline)
        } catch {
            // Over by itself is as good as given back.
            guard error == .ended(.unknownLease) else { throw error }
        }
        guard length <= destination.count else {
            throw .bufferTooSmall(neededBytes: header.payloadBytes)
        }
        guard destination.slice(from: 0, count: length).source.xxh3 == header.payloadChecksum else {
            throw .ended(.checksumMismatch)
        }
        return length
    }

    /// Reads what a lease was granted by.
    private func grant(_ body: [UInt64], lengthBytes: Int) throws(ClientError) -> LeaseGrant {
        guard let lease = try? LeaseGrant(words: body),
            lease.segments.reduce(0, { $0 + Int($1.lengthBytes) }) == lengthBytes
        else { throw lose(.malformedResponse("a lease of other memory than was asked for")) }
        return lease
    }

    /// Moves the value of a lease, `memory` giving each stretch of it, and waits for the end.
    private func move(
        _ lease: LeaseGrant, _ deadline: MonotonicTime,
        _ memory: (_ offset: Int, _ count: Int) -> ValueMemory
    ) throws(ClientError) {
        var offset = 0
        var rest = lease.segments[...]
        do throws(SessionFailure) {
            while !rest.isEmpty || pair.moves.count > 0 {
                while pair.moves.hasRoom, let segment = rest.popFirst() {
                    try pair.move(memory(offset, Int(segment.lengthBytes)), segment)
                    offset += Int(segment.lengthBytes)
                }
                guard try pair.receive() == nil else {
                    throw .malformedResponse("an answer that nobody waits for")
                }
                guard pair.moves.count > 0 else { continue }
                guard Socket.now < deadline else {
                    _ = lose(.lateWrites)
                    throw .lateWrites
                }
                wait(until: deadline)
            }
        } catch {
            let end = lose(error)
            throw error == .lateWrites ? .ended(.deadlineExceeded) : end
        }
    }

    // MARK: Messages

    /// Sends a request and waits for its answer, which must be `ok`.
    private func ask(
        _ operation: OperationCode, _ namespace: Namespace, _ body: [UInt64],
        payloadBytes: Int = 0, checksum: UInt64 = 0, _ deadline: MonotonicTime
    ) throws(ClientError) -> (header: FrameHeader, body: [UInt64]) {
        guard failure == nil else { throw .connectionLost }
        let isChange = operation == .commit
        let left = deadline.microseconds(since: Socket.now)
        let header = FrameHeader(
            operation: operation, namespace: namespace, requestID: nextID,
            bodyBytes: UInt32(body.count * 8), payloadBytes: UInt32(payloadBytes),
            payloadChecksum: checksum,
            // As ClientSession tells it.
            deadlineMicroseconds: UInt32(clamping: max(1, left - left / 16)))
        nextID += 1
        let plain = OutgoingFrame(
            tag: RequestTag(header.requestID),
            words: RequestEncoding.words(of: header.words) + body, payload: [])
        let answer: (header: FrameHeader, body: [UInt64])
        do throws(SessionFailure) {
            try pair.send((authentication?.sign(plain) ?? plain).words)
            guard let words = try nextMessage(until: deadline) else {
                _ = lose(.lateWrites)
                throw .lateWrites
            }
            answer = try read(words, as: header)
        } catch {
            let end = lose(error)
            if isChange { throw .ended(.outcomeUnknown) }
            throw error == .lateWrites ? .ended(.deadlineExceeded) : end
        }
        if let error = ClientError(.ended(answer.header.status)) { throw error }
        return answer
    }

    private func nextMessage(until deadline: MonotonicTime) throws(SessionFailure) -> [UInt64]? {
        while true {
            if let words = try pair.receive() { return words }
            guard Socket.now < deadline else { return nil }
            wait(until: deadline)
        }
    }

    /// Takes the answer to `request`; its tags are compared first.
    private func read(
        _ words: [UInt64], as request: FrameHeader
    ) throws(SessionFailure) -> (header: FrameHeader, body: [UInt64]) {
        let count = FrameHeader.wordCount
        guard words.count >= count else { throw .malformedResponse("a message too short") }
        let head = InlineArray<8, UInt64> { words[$0] }
        try authentication?.check(header: head)
        let limits = FrameLimits(
            maximumBodyBytes: BodyLayout.bodyLimitBytes, maximumPayloadBytes: .max)
        guard let header = try? FrameHeader(words: head, limits: limits), header.isResponse,
            header.operation == request.operation, header.requestID == request.requestID,
            header.isSigned == (authentication != nil)
        else { throw .malformedResponse("no answer to \(request.operation)") }
        let bodyWords = Int(header.bodyBytes / 8)
        let tagWords = authentication?.tagWords(of: header) ?? 0
        guard words.count == count + bodyWords + tagWords else {
            throw .malformedResponse("a message of \(words.count * 8) bytes")
        }
        if header.isSigned {
            _ = try authentication?.check(body: Array(words[count...]), of: header)
        }
        return (header, Array(words[count..<(count + bodyWords)]))
    }

    private func wait(until deadline: MonotonicTime) {
        let isReady = pair.prepareToWait()
        var entries = pair.interests
        _ = PollEntry.wait(&entries, until: isReady ? Socket.now : deadline)
    }

    /// Ends the queue pair: when this returns, nobody reaches the caller's memory any more.
    private func lose(_ reason: SessionFailure) -> ClientError {
        if failure == nil {
            failure = reason
            pair.close()
        }
        return .connectionLost
    }
}

#endif
