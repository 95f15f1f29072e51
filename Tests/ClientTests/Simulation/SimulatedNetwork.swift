// SimulatedNetwork: servers in memory that speak the wire protocol and misbehave as a seed says,
// under a clock that jumps from event to event.
//
// Always holds: a frame that arrived whole may be carried out, one that didn't never is; what was
// carried out is written down under the value that the request carried.

import Wire

@testable import Client

/// How often, in 1000, a server does what it shouldn't, and how slow it is.
struct Faults {
    var cutsToServer = 0
    var cutsToClient = 0
    var busy = 0
    var shuttingDown = 0
    /// Carried out or not, and told so.
    var unknown = 0
    var damaged = 0
    /// Taken and never answered, carried out or not.
    var silent = 0
    var answeredTwice = 0
    var longestAnswerMicroseconds: UInt64 = 2000
    var refusedOpenings = 0
    var refusedQueuePairs = 0
    var cutQueuePairs = 0
}

final class SimulatedServer {
    enum Mode {
        case serving
        /// Refuses connections, and has none.
        case down
        /// Accepts connections and answers nothing, carrying nothing out.
        case mute
        /// Answers Connect, then nothing.
        case muteAfterConnect
    }

    var mode = Mode.serving
    var table: ReferenceStore.Table = [:]
    /// Values and deletions that were carried out, with how often.
    var applied: [BlockKey: [[UInt8]: Int]] = [:]
    var requestCount = 0
    var openingCount = 0
    /// Requests that came by a queue pair.
    var remoteCount = 0
    /// What it answers to RdmaOpen; nil for an offer.
    var refusesQueuePairs: (status: Status, text: String)? = (.unsupported, "not configured")
}

final class SimulatedNetwork {
    static let bufferBytes = 48 << 10

    struct Event {
        let time: UInt64
        let run: () -> Void
    }

    /// Nanoseconds.
    private(set) var now: UInt64 = 1_000_000_000
    let servers: [ServerAddress: Int]
    let states: [SimulatedServer]
    var faults: Faults
    let behaviour: Behaviour
    var generator: SeededGenerator
    /// In the order of their times, then of their making.
    private var events: [Event] = []
    private(set) var streams: [SimulatedStream] = []
    var pairs: [SimulatedQueuePair] = []
    /// Sessions whose offer nobody has taken yet.
    var offered: [UInt64: SimulatedStream] = [:]
    var sessionCount: UInt64 = 0
    /// Why the client's machine has no RDMA device; nil when it has one.
    var hasNoDevice: String?
    /// The client's memory can't be registered.
    var refusesMemory = false
    /// What the client shouldn't have done.
    var problems: [String] = []

    init(_ servers: [ServerAddress], behaviour: Behaviour, faults: Faults, seed: UInt64) {
        self.servers = Dictionary(uniqueKeysWithValues: zip(servers, servers.indices))
        states = servers.map { _ in SimulatedServer() }
        self.behaviour = behaviour
        self.faults = faults
        generator = SeededGenerator(seed: seed)
    }

    var time: MonotonicTime { MonotonicTime(nanoseconds: now) }

    /// Mostly everything at once, now and then a byte or a few.
    func drawPiece() -> Int {
        chance(100) ? Int.random(in: 1...80, using: &generator) : .max
    }

    func chance(_ perMille: Int) -> Bool {
        perMille > 0 && Int.random(in: 0..<1000, using: &generator) < perMille
    }

    // MARK: Time

    func at(_ time: UInt64, _ run: @escaping () -> Void) {
        let time = max(time, now)
        let place = events.lastIndex { $0.time <= time }.map { $0 + 1 } ?? 0
        events.insert(Event(time: time, run: run), at: place)
    }

    var nextEventAt: MonotonicTime {
        var next = events.first?.time ?? .max
        for stream in streams where !stream.isClosed && stream.progress == .pending {
            next = min(next, max(stream.opensAt, now))
        }
        for pair in pairs { if let time = pair.wakesAt { next = min(next, max(time, now)) } }
        return MonotonicTime(nanoseconds: next)
    }

    /// Goes to `time` and does what is due by then, in order.
    func advance(to time: MonotonicTime) {
        now = max(now, time.nanoseconds)
        while let event = events.first, event.time <= now {
            events.removeFirst()
            event.run()
        }
        streams.removeAll { $0.isClosed && $0.isBroken }
        pairs.removeAll { $0.isClosed }
    }

    // MARK: Connections

    func open(to address: ServerAddress) -> SimulatedStream {
        guard let number = servers[address] else { preconditionFailure("a server of nobody") }
        let server = states[number]
        server.openingCount += 1
        let refused = server.mode == .down || chance(faults.refusedOpenings)
        let stream = SimulatedStream(
            to: number, of: self,
            opensAt: now + UInt64.random(in: 1000...300_000, using: &generator),
            outcome: refused ? .failed(.refused) : .open)
        // A frame of Connect and a few requests: cuts fall before, inside and behind each.
        if chance(faults.cutsToServer) {
            stream.bytesToServerLeft = Int.random(in: 1...9000, using: &generator)
        }
        if chance(faults.cutsToClient) {
            stream.bytesToClientLeft = Int.random(in: 1...9000, using: &generator)
        }
        streams.append(stream)
        return stream
    }

    func change(_ number: Int, to mode: SimulatedServer.Mode) {
        states[number].mode = mode
        guard mode == .down else { return }
        for stream in streams where stream.server == number { stream.cut() }
    }

    // MARK: Serving

    /// Makes requests of what has arrived, and plans their answers.
    func serve(_ stream: SimulatedStream) {
        let server = states[stream.server]
        while let request = takeRequest(stream) {
            let isConnect = request.header.operation == .connect
            if server.mode == .mute || server.mode == .muteAfterConnect && !isConnect { continue }
            server.requestCount += 1
            let delay =
                1000
                * UInt64.random(
                    in: 1...(isConnect ? 200 : faults.longestAnswerMicroseconds),
                    using: &generator)
            let begun = now
            let silent = !isConnect && chance(faults.silent)
            let twice = !isConnect && chance(faults.answeredTwice)
            at(now + delay) { [self] in
                let isOpening = request.header.operation == .rdmaOpen && server.mode == .serving
                let response =
                    isOpening
                    ? offer(to: stream) : execute(request, on: server, since: begun)
                guard let response, !silent else { return }
                let answer = bytes(of: response, to: request)
                for _ in 0..<(twice ? 2 : 1) where !stream.isBroken { stream.coming += answer }
            }
        }
    }

    private func takeRequest(_ stream: SimulatedStream) -> ReferenceRequest? {
        guard !stream.isBroken, stream.arrived.count >= FrameHeader.byteCount else { return nil }
        let words = ReferenceRequest.words(Array(stream.arrived.prefix(FrameHeader.byteCount)))
        let limits = FrameLimits(
            maximumBodyBytes: BodyLayout.bodyLimitBytes,
            maximumPayloadBytes: behaviour.payloadLimitBytes)
        guard let header = try? FrameHeader(words: InlineArray { words[$0] }, limits: limits) else {
            preconditionFailure("the client sent a malformed header")
        }
        let bodyEnd = FrameHeader.byteCount + Int(header.bodyBytes)
        let end = bodyEnd + Int(header.payloadBytes)
        guard stream.arrived.count >= end else { return nil }
        let request = ReferenceRequest(
            header: header, body: Array(stream.arrived[FrameHeader.byteCount..<bodyEnd]),
            payload: Array(stream.arrived[bodyEnd..<end]))
        stream.arrived.removeFirst(end)
        return request
    }

    /// The answer; nil when the server died meanwhile.
    func execute(
        _ request: ReferenceRequest, on server: SimulatedServer, since begun: UInt64
    ) -> ReferenceResponse? {
        guard server.mode != .down else { return nil }
        var response: ReferenceResponse
        let told = UInt64(request.header.deadlineMicroseconds) * 1000
        if request.header.operation == .connect {
            response = ReferenceResponse(body: greeting)
        } else if told > 0, now - begun > told {
            response = ReferenceResponse(status: .deadlineExceeded)
        } else if chance(faults.busy) {
            response = ReferenceResponse(status: .busy)
        } else if chance(faults.shuttingDown) {
            response = ReferenceResponse(status: .shuttingDown)
        } else {
            let isUnknown = isChange(request.header.operation) && chance(faults.unknown)
            response = ReferenceResponse(status: .outcomeUnknown)
            if !isUnknown || chance(500) {
                writeDown(request, on: server)
                let honest = ReferenceStore.respond(
                    to: request, table: &server.table, behaviour: behaviour)
                if !isUnknown { response = honest }
            }
        }
        if !response.payload.isEmpty, chance(faults.damaged) { response.payload[0] ^= 1 }
        return response
    }

    private func bytes(of response: ReferenceResponse, to request: ReferenceRequest) -> [UInt8] {
        let header = FrameHeader(
            operation: request.header.operation, isResponse: true, status: response.status,
            namespace: request.header.namespace, requestID: request.header.requestID,
            bodyBytes: UInt32(response.body.count * 8),
            payloadBytes: UInt32(response.payload.count), payloadChecksum: response.checksum)
        return ReferenceRequest.bytes(header) + ReferenceRequest.bytes(response.body)
            + response.payload
    }

    private func isChange(_ operation: OperationCode) -> Bool {
        [.tcpPut, .tcpDelete, .tcpBatchPut, .tcpBatchDelete].contains(operation)
    }

    private var greeting: [UInt64] {
        let told = ConnectResponse(
            version: FrameHeader.version, batchLimit: behaviour.batchLimit,
            bodyLimitBytes: BodyLayout.bodyLimitBytes,
            payloadLimitBytes: behaviour.payloadLimitBytes,
            valueLimitBytes: behaviour.valueLimitBytes,
            requestsInFlight: behaviour.requestsInFlight, storeID: [1, 2])
        return (0..<5).map { told.words[$0] }
    }

    /// Writes down what is about to be carried out: a value for each put, none for a deletion.
    private func writeDown(_ request: ReferenceRequest, on server: SimulatedServer) {
        func note(_ key: BlockKey, _ value: [UInt8]) {
            server.applied[key, default: [:]][value, default: 0] += 1
        }
        switch request.header.operation {
        case .tcpPut:
            for item in request.items(of: 32) ?? [] { note(request.key(item), request.payload) }
        case .tcpBatchPut:
            var start = 0
            for item in request.items(of: 48) ?? [] {
                let length = UInt32(truncatingIfNeeded: item[4])
                note(request.key(item), Array(request.payload[start..<start + Int(length)]))
                start = Int(BodyLayout.nextBatchOffset(after: UInt64(start), lengthBytes: length))
            }
        case .tcpDelete, .tcpBatchDelete:
            for item in request.items(of: 32) ?? [] where server.table[request.key(item)] != nil {
                note(request.key(item), [])
            }
        default: break
        }
    }
}

struct SimulatedTransport: ClientTransport {
    let network: SimulatedNetwork

    func open(to server: ServerAddress) -> SimulatedStream { network.open(to: server) }

    func drawNonce() -> Nonce { Nonce(using: &network.generator) }

    func queuePairProblem() -> ConnectError? { network.hasNoDevice.map { .noDevice($0) } }

    func openQueuePair(_ offer: QueuePairOffer, keys: QueuePairKeys) -> SimulatedQueuePair {
        network.openQueuePair(offer)
    }
}
