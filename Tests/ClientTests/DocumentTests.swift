// Docs/wire-protocol.md against the code: its examples are the bytes that the code makes, its
// tables name every operation and status, and a client written from it alone works.

import Foundation
import Testing
import Wire

@testable import Client

@Suite struct DocumentTests {
    private static let folder = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Docs")

    private func document() throws -> String {
        try String(
            contentsOf: Self.folder.appendingPathComponent("wire-protocol.md"), encoding: .utf8)
    }

    /// Sixteen bytes a line behind their offset, as the document prints them.
    private func dump(_ bytes: [UInt8]) -> String {
        func digits(_ value: Int, _ width: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: width - text.count) + text
        }
        return stride(from: 0, to: bytes.count, by: 16).map { start in
            digits(start, 4) + "  "
                + bytes[start..<min(start + 16, bytes.count)].map { digits(Int($0), 2) }
                .joined(separator: " ")
        }.joined(separator: "\n")
    }

    @Test func theKeyRulesExampleIsTheCodes() throws {
        let key = KeyRule.key("hello", namespace: Namespace(7))
        #expect(try document().contains("```\n\(key.hexadecimal)\n```"))
    }

    @Test func thePutsExampleIsTheCodes() throws {
        let value = OwnedBytes(Array("Hello, block!".utf8)).source
        let item = PutItem(key: KeyRule.key("hello", namespace: Namespace(7)), value: value)
        let frame = RequestEncoding.frame(
            for: .put(item), id: 1, checksums: [value.xxh3], deadlineMicroseconds: 30_000_000)
        let request = dump(ReferenceRequest.bytes(frame.words) + Array("Hello, block!".utf8))
        #expect(try document().contains("```\n\(request)\n```"))
        let response = FrameHeader(
            operation: .tcpPut, isResponse: true, namespace: Namespace(7), requestID: 1)
        let answer = dump(ReferenceRequest.bytes(response))
        #expect(try document().contains("```\n\(answer)\n```"))
    }

    @Test func everyOperationAndStatusStandsInItsTable() throws {
        let text = try document()
        for operation in OperationCode.allCases {
            let code = String(operation.rawValue, radix: 16, uppercase: true)
            let name = "\(operation)"
            #expect(
                text.contains(
                    "| `0x\(code.count == 1 ? "0" : "")\(code)` | \(name.prefix(1).uppercased())"
                        + "\(name.dropFirst()) |"))
        }
        for status in Status.allCases {
            #expect(text.contains("| \(status.rawValue) | `\(status)` |"))
        }
    }

    @Test func theBatchExampleIsTheCodes() {
        var starts: [UInt64] = []
        var end: UInt64 = 0
        for length: UInt32 in [5000, 4096, 1] {
            let start = BodyLayout.nextBatchOffset(after: end, lengthBytes: 0)
            starts.append(start)
            end = start + UInt64(length)
        }
        #expect(starts == [0, 8192, 12288])
        #expect(end == 12289)
    }

    /// The example client puts, gets, deletes; here it is looked at from the server's side.
    @Test func aClientWrittenFromTheDocumentWorks() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let script = Self.folder.appendingPathComponent("example_client.py").path
        func python(_ arguments: String..., input: [UInt8] = []) throws -> CommandResult {
            try CommandLineTool.run(
                ["python3", script, "127.0.0.1:\(server.port)"] + arguments, input: Data(input),
                executable: URL(fileURLWithPath: "/usr/bin/env"))
        }
        let value = pattern(100_000, seed: 21)
        let put = try python("put", "some name", input: value)
        #expect(put.code == 0, "\(put.errors)")
        #expect(server[KeyRule.key("some name", namespace: Namespace(0))] == value)
        #expect(try python("get", "some name").output == Data(value))
        #expect(try python("delete", "some name").code == 0)
        let missing = try python("get", "some name")
        #expect(missing.code == 1)
        #expect(missing.errors == "notFound\n")
    }
}
