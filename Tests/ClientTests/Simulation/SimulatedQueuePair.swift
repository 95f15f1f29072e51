// SimulatedQueuePair: a queue pair in memory: messages arrive whole or not at all, and the server
// reaches the client's memory whenever it likes until the queue pair is closed.

import Wire

@testable import Client

/// Memory that the client has exposed; it can be reached for as long as somebody has this.
final class SimulatedRegistration: Sendable {
    let memory: ValueMemory

    init(_ memory: ValueMemory) { self.memory = memory }

    /// The bytes as they are now.
    func read() -> [UInt8] {
        switch memory {
        case .source(let bytes): unsafe [UInt8](bytes.buffer)
        case .destination(let bytes): unsafe [UInt8](bytes.buffer)
        }
    }

    func write(_ value: [UInt8]) {
        guard case .destination(let bytes) = memory, value.count <= bytes.count else {
            preconditionFailure("a write to memory that is none")
        }
        for (index, byte) in value.enumerated() { unsafe bytes.buffer[index] = byte }
    }
}

final class SimulatedQueuePair: ClientQueuePair {
    struct Registered {
        weak var registration: SimulatedRegistration?
    }

    let server: Int
    /// Of the session that it belongs to: its end is this one's.
    let stream: SimulatedStream?
    private let network: SimulatedNetwork
    private let opensAt: UInt64
    private let outcome: OpeningProgress
    private let credits: Int
    private var unanswered = 0
    private var coming: [[UInt64]] = []
    private var registered: [UInt32: Registered] = [:]
    private var nextKey: UInt32 = 1
    /// It breaks when so many more messages have come; nil for never.
    var messagesLeft: Int?
    private var wasCut = false
    private(set) var isClosed = false

    init(
        to server: Int, over stream: SimulatedStream?, of network: SimulatedNetwork,
        credits: UInt16, opensAt: UInt64, outcome: OpeningProgress
    ) {
        self.server = server
        self.stream = stream
        self.network = network
        self.credits = Int(credits)
        self.opensAt = opensAt
        self.outcome = outcome
    }

    var isBroken: Bool { wasCut || stream.map { $0.isBroken || $0.isClosed } ?? true }
    /// Whether the server can reach this side's memory.
    var isAlive: Bool { !isClosed && !isBroken }

    var wakesAt: UInt64? { opening == .pending && !isClosed ? opensAt : nil }

    var opening: OpeningProgress {
        if isBroken { return .failed(.session(.queuePair("cut"))) }
        return network.now >= opensAt ? outcome : .pending
    }

    func cut() {
        wasCut = true
        coming = []
    }

    func close() {
        precondition(!isClosed, "a queue pair is closed twice")
        isClosed = true
    }

    var maySend: Bool { true }

    func send(_ words: [UInt64]) throws(SessionFailure) {
        if isBroken { throw .queuePair("cut") }
        unanswered += 1
        if unanswered > credits { network.problems.append("more requests than credits") }
        if let left = messagesLeft {
            messagesLeft = left - 1
            if left <= 1 {
                // Perhaps the server has it, perhaps not.
                if network.chance(500) { network.serve(words, by: self) }
                return cut()
            }
        }
        network.serve(words, by: self)
    }

    func receive() throws(SessionFailure) -> [UInt64]? {
        if isBroken { throw .queuePair("cut") }
        return coming.isEmpty ? nil : coming.removeFirst()
    }

    func expose(_ memory: [ValueMemory]) throws(SessionFailure) -> Exposure {
        if network.refusesMemory { throw .queuePair("no memory can be locked") }
        var segments: [RemoteSegment] = []
        var registrations: [SimulatedRegistration] = []
        for piece in memory {
            let registration = SimulatedRegistration(piece)
            registered[nextKey] = Registered(registration: registration)
            registrations.append(registration)
            segments.append(
                RemoteSegment(
                    address: 4096, remoteKey: nextKey,
                    lengthBytes: UInt32(registration.read().count)))
            nextKey += 1
        }
        return Exposure(segments: segments, registrations: registrations)
    }

    // MARK: The server's end

    /// The memory that a segment names; nil when it can't be reached any more.
    func reach(_ segment: RemoteSegment) -> SimulatedRegistration? {
        guard isAlive else { return nil }
        guard let found = registered[segment.remoteKey]?.registration else {
            // On a real device this breaks the queue pair: what is unexposed too early shows.
            network.problems.append("memory was taken back from an unanswered request")
            cut()
            return nil
        }
        return found
    }

    func answer(_ words: [UInt64]) {
        guard isAlive else { return }
        unanswered -= 1
        coming.append(words)
    }
}
