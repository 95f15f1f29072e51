// HTTPGet: one GET over HTTP/1.1, the connection closed after it; all that the admin commands need
// of HTTP.
//
// Refuses: answers without a length that is honest, in chunks, or above 16 MiB.

import Client

/// An answer of the admin endpoint.
struct HTTPAnswer {
    let statusCode: Int
    let body: [UInt8]
}

enum HTTPGet {
    private static let answerLimitBytes = 16 << 20

    static func perform(
        _ path: String, on server: ServerAddress, token: String? = nil,
        deadline: MonotonicTime
    ) throws(CommandFailure) -> HTTPAnswer {
        let socket: Socket
        do {
            socket = try Socket.connect(to: server, until: deadline)
        } catch {
            throw CommandFailure(error, server: server)
        }
        let authorization = token.map { "Authorization: Bearer \($0)\r\n" } ?? ""
        let request = """
            GET \(path) HTTP/1.1\r
            Host: \(server)\r
            Accept: application/json, text/plain\r
            Connection: close\r
            \(authorization)\r

            """
        try send(OwnedBytes(Array(request.utf8)).source, by: socket, server, deadline)
        return try parse(try receive(from: socket, server, deadline), server)
    }

    private static func send(
        _ request: SourceBytes, by socket: borrowing Socket, _ server: ServerAddress,
        _ deadline: MonotonicTime
    ) throws(CommandFailure) {
        var rest = request
        while rest.count > 0 {
            switch socket.send(rest, more: false) {
            case .moved(let count): rest = rest.slice(from: count, count: rest.count - count)
            case .wouldBlock: try wait(socket, sending: true, server, deadline)
            case .closed: throw broken(server, "it closed the connection")
            case .failed(let sentence): throw broken(server, sentence)
            }
        }
    }

    private static func receive(
        from socket: borrowing Socket, _ server: ServerAddress, _ deadline: MonotonicTime
    ) throws(CommandFailure) -> [UInt8] {
        let buffer = OwnedBytes(count: 64 << 10)
        var answer: [UInt8] = []
        while answer.count <= answerLimitBytes {
            switch socket.receive(into: buffer.destination) {
            case .moved(let count): answer += buffer.copy(count: count)
            case .wouldBlock: try wait(socket, sending: false, server, deadline)
            case .closed: return answer
            case .failed(let sentence): throw broken(server, sentence)
            }
        }
        throw broken(server, "its answer is longer than \(answerLimitBytes) bytes")
    }

    private static func wait(
        _ socket: borrowing Socket, sending: Bool, _ server: ServerAddress,
        _ deadline: MonotonicTime
    ) throws(CommandFailure) {
        guard BlockingClient.now < deadline else {
            throw CommandFailure(.unreachable, "\(server) didn't answer in time")
        }
        _ = socket.wait(forSending: sending, forReceiving: !sending, until: deadline)
    }

    private static func parse(
        _ answer: [UInt8], _ server: ServerAddress
    ) throws(CommandFailure) -> HTTPAnswer {
        guard let end = answer.firstRange(of: Array("\r\n\r\n".utf8)) else {
            throw broken(server, "its answer is not HTTP; is this the admin port?")
        }
        let lines = String(decoding: answer[..<end.lowerBound], as: UTF8.self)
            .split(separator: "\r\n")
        let first = lines.first?.split(separator: " ") ?? []
        guard first.count >= 2, first[0].hasPrefix("HTTP/1."), let code = Int(first[1]) else {
            throw broken(server, "its answer is not HTTP; is this the admin port?")
        }
        let body = answer[end.upperBound...]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            let value = parts.last?.drop(while: \.isWhitespace) ?? ""
            switch parts[0].lowercased() {
            case "transfer-encoding":
                throw broken(server, "it answers in chunks, which this client doesn't read")
            case "content-length" where Int(value) != body.count:
                throw broken(server, "it closed the connection inside its answer")
            default: break
            }
        }
        return HTTPAnswer(statusCode: code, body: Array(body))
    }

    private static func broken(_ server: ServerAddress, _ what: String) -> CommandFailure {
        CommandFailure(.unreachable, "\(server): \(what)")
    }
}
