// A client of one queue pair, made of Verbs and Wire's arithmetic: whatever a test wants changed in
// a message can be changed. It waits for each step and answers one request at a time.

#if IOUring && Verbs

import Glibc
import Verbs
import Wire

/// How an attempt to connect ended.
enum PairOutcome: Hashable { case connected, rejected, failed(String) }

/// One queue pair. Its memory: messages in, a message out, a value.
@safe
final class PairClient {
    static let valueBytes = 4 << 20
    static let messageBytes = 17 << 10
    private let events: ConnectionEvents
    private let waker: ConnectionWaker
    private let queue: CompletionQueue
    private let role: QueuePairRole
    private let domain: ProtectionDomain
    private let block: UnsafeMutableRawBufferPointer
    let registered: RegisteredMemory
    let connection: RDMAConnection
    private let keys: QueuePairKeys
    private let offer: QueuePairOffer
    private var incoming: FrameAuthenticator?
    private var outgoing: FrameAuthenticator?
    private var next: UInt64 = 1
    private var completions: [WorkCompletion] = []

    init(
        device: String, offer: QueuePairOffer, secret: Secret?, role: QueuePairRole = .client
    ) throws(VerbsError) {
        guard let device = RDMADevice.all().first(where: { $0.name == device }) else {
            throw VerbsError("to find device \(device)", ENODEV)
        }
        self.offer = offer
        self.role = role
        keys = QueuePairKeys(secret: secret, sessionID: offer.sessionID, nonce: offer.nonce)
        if secret != nil {
            outgoing = FrameAuthenticator(key: keys.clientToServer)
            incoming = FrameAuthenticator(key: keys.serverToClient)
        }
        events = try ConnectionEvents()
        waker = try ConnectionWaker()
        queue = try CompletionQueue(device, capacity: 256)
        domain = try ProtectionDomain(device)
        unsafe block = .allocate(
            byteCount: Self.valueBytes + Self.messageBytes * (Int(offer.credits) + 1),
            alignment: 4096)
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0)
        registered = unsafe try RegisteredMemory(block, in: domain, for: .readAndWrite)
        connection = try RDMAConnection(events)
    }

    /// The value's memory.
    var value: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(rebasing: block[..<Self.valueBytes])
    }

    /// How many bytes from the value's first one on the server can reach.
    var registeredBytes: Int { unsafe block.count }

    private func message(_ index: Int) -> UnsafeMutableRawBufferPointer {
        let start = Self.valueBytes + index * Self.messageBytes
        return unsafe UnsafeMutableRawBufferPointer(
            rebasing: block[start..<(start + Self.messageBytes)])
    }

    /// Connects; with `spoils`, with a greeting whose code is wrong; lets the server have `reads` under
    /// way.
    func connect(
        spoils: Bool = false, reads: UInt8 = 16, from source: RDMAAddress
    ) throws(VerbsError) -> PairOutcome {
        try connection.resolveAddress(
            RDMAAddress(words: offer.addresses[0].words), port: offer.port, from: source,
            milliseconds: 5000)
        guard case .addressResolved = try nextEvent().kind else { return .failed("address") }
        try connection.resolveRoute(milliseconds: 5000)
        guard case .routeResolved = try nextEvent().kind else { return .failed("route") }
        try connection.makeQueuePair(
            in: domain, completingTo: queue, lengths: QueuePairLengths(sends: 64, receives: 64))
        for index in 0..<Int(offer.credits) { try postReceive(index) }
        let greeting = QueuePairGreeting(
            from: role, sessionID: offer.sessionID, nonce: offer.nonce, keys: keys)
        var bytes = (0..<48).map {
            UInt8(truncatingIfNeeded: greeting.words[$0 / 8] >> UInt64($0 % 8 * 8))
        }
        if spoils { bytes[40] ^= 1 }
        try connection.connect(
            ConnectionAgreement(privateData: bytes, readsAccepted: reads, readsInFlight: 4))
        let event = try nextEvent()
        switch event.kind {
        case .established:
            guard let answer = try? QueuePairGreeting(bytes: event.privateData.span, from: .server),
                answer.hasCode(of: keys), answer.sessionID == offer.sessionID
            else { return .failed("the server's greeting") }
            return .connected
        case .rejected: return .rejected
        default: return .failed("\(event.kind) \(event.status)")
        }
    }

    /// Without a queue pair the server has nothing to send to.
    func end() { connection.end() }

    private func nextEvent() throws(VerbsError) -> ConnectionEvent {
        while true {
            if let event = try events.next() { return event }
            waker.wait(for: events, milliseconds: 1000)
        }
    }

    private func postReceive(_ index: Int) throws(VerbsError) {
        unsafe try connection.postReceive(
            into: message(1 + index), localKey: registered.localKey, workID: UInt64(index))
    }

    /// One segment over the value's first bytes.
    func segment(_ count: Int, at offset: Int = 0) -> RemoteSegment {
        unsafe RemoteSegment(
            address: UInt64(UInt(bitPattern: value.baseAddress)) + UInt64(offset),
            remoteKey: registered.remoteKey, lengthBytes: UInt32(count))
    }

    /// Sends a request and waits for its response; nil when the queue pair failed instead.
    func ask(
        _ operation: OperationCode, key: UInt64, namespace: UInt32 = 0,
        segments: [RemoteSegment] = [], payloadBytes: Int = 0, checksum: UInt64 = 0,
        spoilsTag: Bool = false
    ) throws(VerbsError) -> (header: FrameHeader, body: [UInt64])? {
        try send(
            operation, key: key, namespace: namespace, segments: segments,
            payloadBytes: payloadBytes, checksum: checksum, spoilsTag: spoilsTag)
        return try receive()
    }

    func send(
        _ operation: OperationCode, key: UInt64, namespace: UInt32 = 0,
        segments: [RemoteSegment] = [], payloadBytes: Int = 0, checksum: UInt64 = 0,
        spoilsTag: Bool = false
    ) throws(VerbsError) {
        var body: [UInt64] = [key, 0, 0, 0]
        if !segments.isEmpty { body.append(UInt64(segments.count)) }
        for segment in segments { body += [segment.words[0], segment.words[1]] }
        try send(
            operation, body, namespace: namespace, payloadBytes: payloadBytes, checksum: checksum,
            spoilsTag: spoilsTag)
    }

    func send(
        _ operation: OperationCode, _ body: [UInt64], namespace: UInt32 = 0, payloadBytes: Int = 0,
        checksum: UInt64 = 0, spoilsTag: Bool = false
    ) throws(VerbsError) {
        next += 1
        let header = FrameHeader(
            operation: operation, namespace: Namespace(namespace), requestID: next,
            bodyBytes: UInt32(body.count * 8), payloadBytes: UInt32(payloadBytes),
            payloadChecksum: checksum, isSigned: outgoing != nil)
        var words = header.words
        var tags: [UInt64] = []
        if let tag = outgoing?.beginFrame(words), var code = outgoing?.beginBody() {
            words = FrameHeader.words(words, tag: tag)
            for word in body { code.add(word) }
            let bodyTag = FrameTag(ending: code)
            tags = [bodyTag.words[0], bodyTag.words[1] ^ (spoilsTag ? 1 : 0)]
        }
        let all = (0..<8).map { words[$0] } + body + tags
        let place = unsafe message(0)
        for (index, word) in all.enumerated() {
            unsafe place.storeBytes(of: word.littleEndian, toByteOffset: index * 8, as: UInt64.self)
        }
        let work = RDMAWork(
            kind: .send, workID: 1 << 32, isSignalled: true,
            localAddress: UInt64(UInt(bitPattern: place.baseAddress)),
            localKey: registered.localKey, lengthBytes: UInt32(all.count * 8))
        unsafe try connection.post([work] as InlineArray<1, RDMAWork>, count: 1)
    }

    /// The next response; nil when the queue pair failed.
    func receive() throws(VerbsError) -> (header: FrameHeader, body: [UInt64])? {
        for _ in 0..<60_000 {
            while let completion = try nextCompletion() {
                guard completion.status.isSuccess else { return nil }
                guard let bytes = completion.receivedBytes else { continue }
                let answer = read(Int(completion.workID), bytes)
                try postReceive(Int(completion.workID))
                return answer
            }
            if let event = try events.next(), event.kind == .disconnected { return nil }
            usleep(2000)
        }
        return nil
    }

    func nextCompletion() throws(VerbsError) -> WorkCompletion? {
        if completions.isEmpty {
            var taken: [WorkCompletion] = []
            _ = try queue.poll { taken.append($0) }
            completions = taken
        }
        return completions.isEmpty ? nil : completions.removeFirst()
    }

    private func read(_ index: Int, _ bytes: Int) -> (header: FrameHeader, body: [UInt64])? {
        let place = unsafe message(1 + index)
        let words = (0..<(bytes / 8)).map {
            unsafe UInt64(littleEndian: place.load(fromByteOffset: $0 * 8, as: UInt64.self))
        }
        let head = InlineArray<8, UInt64> { words[$0] }
        let limits = FrameLimits(maximumBodyBytes: 1 << 14, maximumPayloadBytes: 16 << 20)
        guard let header = try? FrameHeader(words: head, limits: limits) else { return nil }
        let body = Array(words[8..<(8 + Int(header.bodyBytes) / 8)])
        if let tag = incoming?.beginFrame(head) {
            guard tag.matches(FrameTag(of: head)) else { return nil }
        }
        return (header, body)
    }

    deinit {
        connection.end()
        unsafe block.deallocate()
    }
}

#endif
