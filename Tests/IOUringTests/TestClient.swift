// A client made of a blocking socket and nothing of the server's code but the header's codec.

#if IOUring

import Engine
import Glibc
import IOUring
import Wire

/// What came back for one request.
struct Reply: Sendable {
    var header: FrameHeader
    var body: [UInt8]
    var payload: [UInt8]
}

/// One connection. Closed with its handle.
final class TestClient {
    let descriptor: Int32
    private static let limits = FrameLimits(
        maximumBodyBytes: BodyLayout.bodyLimitBytes, maximumPayloadBytes: .max)

    /// Connects; with `greets`, says Connect and takes its answer.
    init(port: UInt16, greets: Bool = true) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                unsafe connect(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        precondition(result == 0, "no connection to the test's own server: errno \(errno)")
        if greets {
            send(Self.connectFrame())
            let reply = receive()
            precondition(reply?.header.status == .ok, "the greeting was refused")
        }
    }

    deinit { close(descriptor) }

    static func frame(
        _ operation: OperationCode, id: UInt64, namespace: UInt32 = 0, body: [UInt8] = [],
        payload: [UInt8] = []
    ) -> [UInt8] {
        let header = FrameHeader(
            operation: operation, namespace: Namespace(namespace), requestID: id,
            bodyBytes: UInt32(body.count), payloadBytes: UInt32(payload.count))
        return bytes(of: header.words) + body + payload
    }

    static func connectFrame(highest: UInt16 = 1, lowest: UInt16 = 1) -> [UInt8] {
        let word = UInt64(highest) | UInt64(lowest) << 16
        return frame(.connect, id: 1, body: littleEndian(word))
    }

    static func bytes(of words: InlineArray<8, UInt64>) -> [UInt8] {
        var bytes: [UInt8] = []
        for index in 0..<8 { bytes += littleEndian(words[index]) }
        return bytes
    }

    static func littleEndian(_ word: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64($0 * 8)) }
    }

    /// A get's body that asks the echo server for `length` bytes.
    static func lengthBody(_ length: Int) -> [UInt8] {
        littleEndian(UInt64(length)) + Array(repeating: 0, count: 24)
    }

    /// Sends everything, or as much as a closed connection takes.
    func send(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { buffer in
                unsafe Glibc.send(
                    descriptor, buffer.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return }
            sent += count
        }
    }

    /// The next response, or nil at the stream's end.
    func receive() -> Reply? {
        guard let head = receive(count: FrameHeader.byteCount) else { return nil }
        var words = InlineArray<8, UInt64>(repeating: 0)
        for index in 0..<64 { words[index / 8] |= UInt64(head[index]) << UInt64(index % 8 * 8) }
        guard let header = try? FrameHeader(words: words, limits: Self.limits),
            let body = receive(count: Int(header.bodyBytes)),
            let payload = receive(count: Int(header.payloadBytes))
        else { return nil }
        return Reply(header: header, body: body, payload: payload)
    }

    /// Exactly `count` bytes, or nil when the stream ends before.
    func receive(count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var received = 0
        while received < count {
            let now = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe recv(descriptor, buffer.baseAddress! + received, count - received, 0)
            }
            if now <= 0 { return nil }
            received += now
        }
        return bytes
    }

    /// True when the server has closed and nothing more comes.
    func isAtEnd() -> Bool { receive(count: 1) == nil }

    func stopSending() { shutdown(descriptor, Int32(SHUT_WR)) }
}

#endif
