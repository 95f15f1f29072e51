// ReferenceServer: a store in a dictionary behind the real wire protocol, one thread a connection,
// with misbehaviour on request. It answers honestly unless told otherwise.

import Foundation
import Synchronization
import Wire

/// How the server deviates from an honest one.
struct Behaviour: Sendable {
    var requestsInFlight: UInt32 = 16
    var batchLimit: UInt32 = 256
    var valueLimitBytes: UInt32 = 16 << 20
    var payloadLimitBytes: UInt32 = 32 << 20
    /// Takes this many requests before it answers them, the last first.
    var answersReversedInGroupsOf = 1
    /// Flips a bit of every value it sends, after the checksum was taken.
    var damagesValues = false
    /// Sends another byte string, honestly checksummed: damage inside the store.
    var answersWithOtherValues = false
    /// Closes inside the response to a request of this operation.
    var closesInsideResponseTo: OperationCode?
    /// Takes requests of this operation and never answers them.
    var neverAnswers: OperationCode?
    /// Answers requests of this operation with this status.
    var refuses: (operation: OperationCode, status: Status)?
    /// Misses this key in batches, after a place for its value was planned.
    var failsToReadInBatches: BlockKey?
    /// Sends the padding behind the last value of a batch too.
    var padsBatches = false
    /// Answers under a request id that nobody used.
    var answersUnknownRequests = false
    /// The session's first bytes are not a frame.
    var sendsGarbage = false
    /// Accepts and reads nothing.
    var readsNothing = false
    /// Answers Connect and reads nothing more.
    var readsNothingAfterConnect = false
    /// Closes each connection after this many requests; nil for never.
    var closesAfterRequests: Int?
    /// What admin's `GET` answers with, by path; the admin port is served only when there is any.
    var adminAnswers: [String: String] = [:]
}

final class ReferenceServer: Sendable {
    struct Stored: Sendable {
        var value: [UInt8]
        var version: UInt64
    }

    let port: UInt16
    let behaviour: Behaviour
    private let listener: BlockingSocket
    private let adminListener: BlockingSocket?
    private let blocks = Mutex<[BlockKey: Stored]>([:])
    private let open = Mutex<[BlockingSocket]>([])
    private let requestCounts = Mutex<[OperationCode: Int]>([:])
    private let stopped = Mutex(false)

    /// Listens at once, on a port of its own (admin on the next) unless `port` is given; one that
    /// is given is waited for.
    init(_ behaviour: Behaviour = Behaviour(), port wanted: UInt16 = 0) {
        self.behaviour = behaviour
        while true {
            guard let data = BlockingSocket.listening(port: wanted) else {
                usleep(10_000)
                continue
            }
            if behaviour.adminAnswers.isEmpty {
                (listener, port, adminListener) = (data.socket, data.port, nil)
                break
            }
            if data.port < .max, let admin = BlockingSocket.listening(port: data.port + 1) {
                (listener, port, adminListener) = (data.socket, data.port, admin.socket)
                break
            }
            data.socket.close()
        }
        let server = self
        Thread.detachNewThread { server.acceptConnections() }
        if let adminListener {
            Thread.detachNewThread { server.serveAdmin(adminListener) }
        }
    }

    /// Closes the listener and every connection.
    func stop() {
        stopped.withLock { $0 = true }
        listener.shutDown()
        listener.close()
        adminListener?.shutDown()
        adminListener?.close()
        for socket in open.withLock({ $0 }) { socket.shutDown() }
    }

    subscript(key: BlockKey) -> [UInt8]? {
        get { blocks.withLock { $0[key]?.value } }
        set {
            blocks.withLock { table in
                let version = (table[key]?.version ?? 0) + 1
                table[key] = newValue.map { Stored(value: $0, version: version) }
            }
        }
    }

    var storedKeys: [BlockKey] { blocks.withLock { $0.keys.sorted() } }

    func requests(of operation: OperationCode) -> Int {
        requestCounts.withLock { $0[operation] ?? 0 }
    }

    // MARK: Connections

    private func acceptConnections() {
        while let socket = listener.accepted() {
            if stopped.withLock({ $0 }) {
                socket.close()
                return
            }
            open.withLock { $0.append(socket) }
            Thread.detachNewThread {
                self.serve(socket)
                self.open.withLock { $0.removeAll { $0.descriptor == socket.descriptor } }
                socket.close()
            }
        }
    }

    private func serve(_ socket: BlockingSocket) {
        if behaviour.sendsGarbage {
            socket.write([UInt8](repeating: 0x48, count: 64))
            return
        }
        if behaviour.readsNothing {
            while !stopped.withLock({ $0 }) { usleep(10_000) }
            return
        }
        var answered = 0
        var group: [ReferenceRequest] = []
        while let request = readRequest(socket) {
            requestCounts.withLock { $0[request.header.operation, default: 0] += 1 }
            if request.header.operation == behaviour.neverAnswers { continue }
            group.append(request)
            let isConnect = request.header.operation == .connect
            guard isConnect || group.count == behaviour.answersReversedInGroupsOf else { continue }
            for waiting in group.reversed() {
                guard answer(waiting, on: socket) else { return }
                answered += 1
            }
            group = []
            while behaviour.readsNothingAfterConnect, !stopped.withLock({ $0 }) { usleep(10_000) }
            if let limit = behaviour.closesAfterRequests, answered > limit { return }
        }
    }

    private func readRequest(_ socket: BlockingSocket) -> ReferenceRequest? {
        guard let bytes = socket.read(FrameHeader.byteCount) else { return nil }
        let words = ReferenceRequest.words(bytes)
        let limits = FrameLimits(
            maximumBodyBytes: BodyLayout.bodyLimitBytes,
            maximumPayloadBytes: behaviour.payloadLimitBytes)
        do {
            let header = try FrameHeader(words: InlineArray { words[$0] }, limits: limits)
            guard let body = socket.read(Int(header.bodyBytes)),
                let payload = socket.read(Int(header.payloadBytes))
            else { return nil }
            return ReferenceRequest(header: header, body: body, payload: payload)
        } catch {
            refuse(error, requestID: words[2], on: socket)
            return nil
        }
    }

    /// Says what is wrong with a header, in the way of Docs/wire-protocol.md; then the connection
    /// closes.
    private func refuse(_ error: FrameError, requestID: UInt64, on socket: BlockingSocket) {
        let status: Status
        switch error {
        case .notAFrame: return
        case .unsupportedVersion: status = .unsupportedVersion
        case .bodyTooLarge, .payloadTooLarge: status = .tooLarge
        default: status = .invalidRequest
        }
        socket.write(
            ReferenceRequest.bytes(
                FrameHeader(
                    operation: .connect, isResponse: true, status: status, requestID: requestID)))
    }

    /// False when the connection must close.
    private func answer(_ request: ReferenceRequest, on socket: BlockingSocket) -> Bool {
        var response = respond(to: request)
        if let refused = behaviour.refuses, refused.operation == request.header.operation {
            response = ReferenceResponse(status: refused.status)
        }
        if behaviour.damagesValues, !response.payload.isEmpty { response.payload[0] ^= 1 }
        var header = FrameHeader(
            operation: request.header.operation, isResponse: true, status: response.status,
            namespace: request.header.namespace, requestID: request.header.requestID,
            bodyBytes: UInt32(response.body.count * 8),
            payloadBytes: UInt32(response.payload.count), payloadChecksum: response.checksum)
        if behaviour.answersUnknownRequests, request.header.operation != .connect {
            header.requestID += 1000
        }
        let bytes =
            ReferenceRequest.bytes(header) + ReferenceRequest.bytes(response.body)
            + response.payload
        if behaviour.closesInsideResponseTo == request.header.operation {
            socket.write(Array(bytes.dropLast(bytes.count / 2)))
            return false
        }
        return socket.write(bytes)
    }

    private func respond(to request: ReferenceRequest) -> ReferenceResponse {
        if request.header.operation == .connect {
            let told = ConnectResponse(
                version: FrameHeader.version, batchLimit: behaviour.batchLimit,
                bodyLimitBytes: BodyLayout.bodyLimitBytes,
                payloadLimitBytes: behaviour.payloadLimitBytes,
                valueLimitBytes: behaviour.valueLimitBytes,
                requestsInFlight: behaviour.requestsInFlight, storeID: [0x1122, 0x3344])
            return ReferenceResponse(body: (0..<5).map { told.words[$0] })
        }
        return blocks.withLock { table in
            ReferenceStore.respond(
                to: request, table: &table, behaviour: behaviour)
        }
    }

    // MARK: Admin

    private func serveAdmin(_ listener: BlockingSocket) {
        while let socket = listener.accepted() {
            defer { socket.close() }
            var request: [UInt8] = []
            while !request.ends(with: Array("\r\n\r\n".utf8)), let byte = socket.read(1) {
                request += byte
            }
            let path = String(decoding: request, as: UTF8.self).split(separator: " ").dropFirst()
                .first
            let answer = path.flatMap { behaviour.adminAnswers[String($0)] }
            let body = answer ?? "not found"
            socket.write(
                Array(
                    """
                    HTTP/1.1 \(answer == nil ? "404 Not Found" : "200 OK")\r
                    Content-Length: \(body.utf8.count)\r
                    Connection: close\r
                    \r
                    \(body)
                    """.utf8))
        }
    }
}

extension [UInt8] {
    fileprivate func ends(with end: [UInt8]) -> Bool { suffix(end.count) == end[...] }
}
