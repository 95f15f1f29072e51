// client: the client's protocol against a server that answers anything.
//
// Always holds, or the run traps: every submitted request is answered exactly once, at the latest
// when the session breaks; `ok` is given only to a value whose bytes have the checksum that the
// server told; no more requests are outstanding than the server allowed.
//
//   input   [whether it has a key]
//           [action: low three bits, which: the others][its arguments]…

import Wire

@testable import Client

enum ClientTarget {
    static func run(_ input: inout FuzzInput) {
        var world = ClientWorld(hasKey: input.byte() & 1 != 0)
        var actions = 0
        while !input.isEmpty, actions < 300, !world.isBroken {
            world.act(&input)
            actions += 1
        }
        world.end()
    }
}

/// One client's session, its caller and its server.
struct ClientWorld {
    enum Action: UInt8 {
        case submit, send, raw, answer, answerWhole, greet, expire, fail
    }

    private enum Part { case header, body(words: Int), payload }

    private var session: ClientSession
    /// The server's own signature, once both have the session's keys.
    private var signer: FrameAuthenticator?
    private var tagsPayloads = false
    /// Where the values of each unanswered request go.
    private var destinations: [RequestTag: [OwnedBytes]] = [:]
    private var sent: [(tag: RequestTag, words: [UInt64])] = []
    private var time: UInt64 = 0
    private var isLeaving = false

    // The response that is arriving.
    private var stream: [UInt8] = []
    private var part = Part.header
    private var segments: ArraySlice<PayloadSegment<DestinationBytes>> = []
    private var checksums: [UInt64] = []
    private var header: [UInt64] = []
    private var code: MessageCode?
    private var body: [UInt64] = []

    private static let operations: [OperationCode] = [
        .tcpPut, .tcpGet, .tcpDelete, .stat, .exists, .tcpBatchPut, .tcpBatchGet, .tcpBatchDelete,
    ]
    private static let value = OwnedBytes((0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31) })

    var isBroken: Bool { session.failure != nil }

    private static let key = AuthenticationKey(Secret(words: [1, 2, 3, 4]))

    init(hasKey: Bool) {
        session = ClientSession(
            credentials: hasKey
                ? Credentials(key: Self.key, nonce: Nonce(words: [5, 6, 7, 8])) : nil)
        session.start()
    }

    mutating func act(_ input: inout FuzzInput) {
        let byte = input.byte()
        guard let action = Action(rawValue: byte & 7) else { return }
        let which = Int(byte >> 3)
        switch action {
        case .submit: submit(which, &input)
        case .send: send()
        case .raw: receive(input.take(which * 4 + 1))
        case .answer: answer(which, isWhole: false, &input)
        case .answerWhole: answer(which, isWhole: true, &input)
        case .greet: greet(which, &input)
        case .expire:
            time += input.number(bytes: 2) * 1_000_000
            take(session.expire(now: MonotonicTime(nanoseconds: time)))
        case .fail: if input.byte() == 0xC1 { take(session.fail(.stalledInsideRequest)) }
        }
        if let limits = session.serverLimits {
            precondition(
                session.outstandingCount <= Int(limits.requestsInFlight), "too many outstanding")
        }
    }

    /// Breaks what is left; nothing may stay unanswered.
    mutating func end() {
        take(session.fail(.stalledInsideRequest))
        precondition(destinations.isEmpty, "a request was never answered")
        precondition(session.unansweredCount == 0, "a broken session owes answers")
    }

    // MARK: The caller

    private mutating func submit(_ which: Int, _ input: inout FuzzInput) {
        let count = which >> 3 + 1
        let keys = (0..<count).map { _ in
            BlockKey(namespace: Namespace(7), littleEndianWords: [UInt64(input.byte()), 0, 0, 0])
        }
        let owners = keys.map { _ in OwnedBytes(count: Int(input.byte()) * 16) }
        let puts = zip(keys, owners).map {
            PutItem(key: $0, value: Self.value.source(count: $1.count))
        }
        let gets = zip(keys, owners).map { GetItem(key: $0, destination: $1.destination) }
        let request: ClientRequest =
            switch which & 7 {
            case 0: .put(puts[0])
            case 1: .get(gets[0])
            case 2: .delete(keys[0])
            case 3: .stat(keys[0])
            case 4: .exists(keys)
            case 5: .putBatch(puts)
            case 6: .getBatch(gets)
            default: .deleteBatch(keys)
            }
        let isGet = which & 7 == 1 || which & 7 == 6
        let deadline = MonotonicTime(nanoseconds: time + UInt64(input.byte()) * 100_000_000)
        do throws(SubmitError) {
            let tag = try session.submit(
                request, checksums: request.values.map(\.xxh3), deadline: deadline)
            precondition(destinations[tag] == nil, "a tag was given twice")
            destinations[tag] = isGet ? owners : []
        } catch { return }
    }

    private mutating func send() {
        if isLeaving {
            session.frameSent()
            isLeaving = false
            return
        }
        guard let frame = session.nextFrame(now: MonotonicTime(nanoseconds: time)) else { return }
        sent.append((frame.tag, frame.words))
        isLeaving = true
    }

    private mutating func take(_ outcomes: [RequestOutcome]) {
        for outcome in outcomes {
            guard let owners = destinations.removeValue(forKey: outcome.tag) else {
                preconditionFailure("an answer to a request that is answered or was never made")
            }
            checkValues(outcome, owners)
        }
    }

    private func checkValues(_ outcome: RequestOutcome, _ owners: [OwnedBytes]) {
        guard !owners.isEmpty, outcome.status == .ok else { return }
        if outcome.items.isEmpty {
            precondition(
                owners[0].source(count: Int(outcome.valueBytes)).xxh3 == header[4],
                "a value with another checksum")
            return
        }
        for (index, item) in outcome.items.enumerated() where item.status == .ok {
            precondition(
                owners[index].source(count: Int(item.valueBytes)).xxh3 == body[index * 2 + 1],
                "an item with another checksum")
        }
    }

    // MARK: The server

    private mutating func greet(_ which: Int, _ input: inout FuzzInput) {
        let limit = UInt32(input.byte())
        var answer = ConnectResponse(
            version: which & 1 == 0 ? 1 : UInt16(which), batchLimit: limit & 7,
            bodyLimitBytes: BodyLayout.bodyLimitBytes, payloadLimitBytes: limit << 9,
            valueLimitBytes: limit << 6, requestsInFlight: limit & 3, storeID: [1, 2])
        let header = FrameHeader(
            operation: .connect, isResponse: true,
            status: which > 24 ? .unsupportedVersion : .ok, requestID: 0,
            bodyBytes: which > 24 ? 0 : BodyLayout.connectResponseBytes)
        answer.tagsPayloads = which & 2 != 0
        if let request = sent.first?.words, request.count == 14, header.bodyBytes > 0 {
            challenge(request, answer)
            return
        }
        let words = answer.words
        receive(Self.bytes(header) + Self.bytes((0..<(which > 24 ? 0 : 5)).map { words[$0] }))
    }

    /// An answer to a frame that was sent, right in everything that the input doesn't change.
    private mutating func answer(_ which: Int, isWhole: Bool, _ input: inout FuzzInput) {
        guard !sent.isEmpty else { return }
        let (tag, words) = sent[which % sent.count]
        let operation = OperationCode(rawValue: UInt8(truncatingIfNeeded: words[0] >> 48))!
        let bodyWords = Int(words[3] & 0xFFFF_FFFF) / 8
        let items = bodyWords / (operation == .tcpBatchPut ? 6 : 4)
        var header = FrameHeader(
            operation: operation, isResponse: true, requestID: tag.rawValue)
        var answerBody: [UInt64] = []
        var payload: [UInt8] = []
        switch operation {
        // What belongs to queue pairs isn't sent by these clients.
        case .connect, .authenticate, .tcpPut, .tcpDelete, .write, .read, .batchWrite, .batchRead,
            .rdmaOpen, .allocate, .commit, .lookup, .release:
            break
        case .stat: answerBody = [UInt64(input.byte()), 1, 2]
        case .tcpGet:
            payload = Self.value.copy(count: Int(input.byte()) * 16)
            header.payloadChecksum = FuzzMemory.checksum(payload)
        case .exists, .tcpBatchPut, .tcpBatchDelete:
            answerBody = (0..<items).map { _ in UInt64(input.byte() & 15) }
        case .tcpBatchGet:
            for _ in 0..<items {
                let length = Int(input.byte()) * 16
                let status = UInt64(input.byte() & 15)
                let value = Self.value.copy(count: length)
                let start = BodyLayout.nextBatchOffset(
                    after: UInt64(payload.count), lengthBytes: 0)
                if length > 0 {
                    payload += [UInt8](repeating: 0, count: Int(start) - payload.count) + value
                }
                answerBody += [status | UInt64(length) << 32, FuzzMemory.checksum(value)]
            }
        }
        header.bodyBytes = UInt32(answerBody.count * 8)
        header.payloadBytes = UInt32(payload.count)
        var bytes = signed(header, answerBody, payload)
        if !isWhole {
            for _ in 0..<input.below(4) {
                let place = Int(input.number(bytes: 2)) % bytes.count
                bytes[place] ^= input.byte()
            }
        }
        receive(bytes)
    }

    /// Answers Connect with a key as a server that has it.
    private mutating func challenge(_ request: [UInt64], _ answer: ConnectResponse) {
        let header = FrameHeader(
            operation: .connect, isResponse: true, requestID: 0,
            bodyBytes: BodyLayout.connectWithKeyResponseBytes)
        let told = answer.words
        let body = InlineArray<9, UInt64> { $0 < 5 ? told[$0] : UInt64($0) }
        let schedule = KeySchedule(
            Self.key,
            Transcript(
                requestHeader: InlineArray { request[$0] },
                requestBody: InlineArray { request[FrameHeader.wordCount + $0] },
                responseHeader: header.words, responseBody: body))
        signer = FrameAuthenticator(key: schedule.serverToClient)
        tagsPayloads = answer.tagsPayloads
        let proof = schedule.serverProof.words
        receive(
            Self.bytes(header) + Self.bytes((0..<9).map { body[$0] } + (0..<4).map { proof[$0] }))
    }

    /// The response's bytes, with tags where the session has a key.
    private mutating func signed(
        _ header: FrameHeader, _ body: [UInt64], _ payload: [UInt8]
    ) -> [UInt8] {
        guard signer != nil else { return Self.bytes(header) + Self.bytes(body) + payload }
        var words = FrameHeader.signed(header.words)
        if let tag = signer?.beginFrame(words) { words = FrameHeader.words(words, tag: tag) }
        var bytes = Self.bytes((0..<FrameHeader.wordCount).map { words[$0] }) + Self.bytes(body)
        if !body.isEmpty, var code = signer?.beginBody() {
            for word in body { code.add(word) }
            bytes += Self.bytes(FrameTag(ending: code))
        }
        if tagsPayloads, !payload.isEmpty, var code = signer?.beginPayload() {
            unsafe payload.withUnsafeBytes { unsafe code.add($0) }
            bytes += Self.bytes(FrameTag(ending: code))
        }
        return bytes + payload
    }

    private static func bytes(_ tag: FrameTag) -> [UInt8] { bytes([tag.words[0], tag.words[1]]) }

    private static func bytes(_ header: FrameHeader) -> [UInt8] {
        let words = header.words
        return bytes((0..<FrameHeader.wordCount).map { words[$0] })
    }

    private static func bytes(_ words: [UInt64]) -> [UInt8] {
        words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
    }

    // MARK: The way in, as TCPConnection does it

    private mutating func receive(_ bytes: [UInt8]) {
        guard !isBroken else { return }
        stream += bytes
        do throws(SessionFailure) {
            while !isBroken, try advance() {}
        } catch {
            take(session.fail(error))
        }
    }

    private mutating func takeBytes(_ count: Int) -> [UInt8]? {
        guard stream.count >= count else { return nil }
        defer { stream.removeFirst(count) }
        return [UInt8](stream.prefix(count))
    }

    private static func words(_ bytes: [UInt8]) -> [UInt64] {
        stride(from: 0, to: bytes.count, by: 8).map { start in
            (0..<8).reduce(0) { $0 | UInt64(bytes[start + $1]) << UInt64($1 * 8) }
        }
    }

    private mutating func advance() throws(SessionFailure) -> Bool {
        switch part {
        case .header:
            guard let bytes = takeBytes(FrameHeader.byteCount) else { return false }
            header = Self.words(bytes)
            let words = header
            let count = try session.receiveHeader(words: InlineArray { words[$0] })
            precondition(count * 8 <= Int(BodyLayout.bodyLimitBytes), "a body above the limit")
            part = .body(words: count)
        case .body(let count):
            guard let bytes = takeBytes(count * 8) else { return false }
            body = Self.words(bytes)
            segments = try session.receiveBody(words: body)[...]
            checksums = []
            code = session.payloadCode
            part = .payload
        case .payload:
            while let segment = segments.first {
                guard let bytes = takeBytes(segment.count) else { return false }
                unsafe bytes.withUnsafeBytes { unsafe code?.add($0) }
                if case .value(let destination) = segment {
                    if !session.incomingIsAbandoned {
                        unsafe destination.buffer.copyBytes(from: bytes)
                    }
                    checksums.append(FuzzMemory.checksum(bytes))
                }
                segments.removeFirst()
            }
            part = .header
            if let outcome = try session.receivePayload(checksums: checksums, code: code) {
                take([outcome])
            }
        }
        return true
    }
}
