// memkv put, get, exists, stat, delete: what they print, and their exit codes.

import Client
import Foundation
import Testing
import Wire

@Suite struct BlockCommandTests {
    private func run(
        _ server: ReferenceServer, _ arguments: String..., input: [UInt8] = []
    ) throws -> CommandResult {
        try CommandLineTool.run(
            arguments + ["--server", "127.0.0.1:\(server.port)"], input: Data(input))
    }

    @Test func aValueGoesInAndComesOut() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let value = pattern(100_000, seed: 9)
        #expect(try run(server, "put", "name", input: value).code == 0)
        #expect(server[KeyRule.key("name", namespace: Namespace(0))] == value)
        let got = try run(server, "get", "name")
        #expect(got.code == 0)
        #expect([UInt8](got.output) == value)
        let stat = try run(server, "stat", "name", "--json")
        #expect(stat.text.contains("\"length\" : 100000"))
        #expect(try run(server, "delete", "name").code == 0)
        let missing = try run(server, "get", "name")
        #expect(missing.code == 1)
        #expect(missing.errors == "memkv: name: not found\n")
    }

    @Test func aFileGoesInAndComesOut() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let folder = try Folder()
        let file = try folder.write([1, 2, 3], to: "in")
        let key = String(repeating: "Ab", count: 32)
        #expect(try run(server, "put", key, file, "--namespace", "5").code == 0)
        #expect(server.storedKeys.map(\.description) == ["5/" + key.lowercased()])
        let got = try run(server, "get", key, "--namespace", "5", "-o", folder.path("out"))
        #expect(got.code == 0)
        #expect(folder.read("out") == [1, 2, 3])
        #expect(folder.names == ["in", "out"])
    }

    @Test func optionsMayStandBeforeTheCommand() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        server[KeyRule.key("a", namespace: Namespace(3))] = [9]
        let result = try CommandLineTool.run(
            ["--server", "127.0.0.1:\(server.port)", "--namespace", "3", "get", "a"])
        #expect(result.output == Data([9]))
        let fromEnvironment = try CommandLineTool.run(
            ["get", "a", "--namespace", "3"],
            environment: ["MEMKV_SERVERS": "127.0.0.1:\(server.port)"])
        #expect(fromEnvironment.output == Data([9]))
    }

    @Test func existsAndDeleteNameEachKey() throws {
        let server = ReferenceServer(Behaviour(batchLimit: 2))
        defer { server.stop() }
        for name in ["a", "c", "e"] { server[KeyRule.key(name, namespace: Namespace(0))] = [1] }
        let result = try run(server, "exists", "a", "b", "c", "d", "e")
        #expect(result.code == 1)
        #expect(
            result.text == "present  a\nabsent  b\npresent  c\nabsent  d\npresent  e\n")
        #expect(try run(server, "exists", "a", "c").code == 0)
        #expect(try run(server, "delete", "a", "c", "e").code == 0)
        #expect(server.storedKeys.isEmpty)
        #expect(try run(server, "delete", "a").code == 1)
    }

    @Test func aDamagedValueWritesNothingAndEndsWith5() throws {
        let server = ReferenceServer(Behaviour(damagesValues: true))
        defer { server.stop() }
        server[KeyRule.key("a", namespace: Namespace(0))] = [1, 2]
        let folder = try Folder()
        let toFile = try run(server, "get", "a", "-o", folder.path("out"))
        #expect(toFile.code == 5)
        #expect(folder.names.isEmpty)
        let toOutput = try run(server, "get", "a")
        #expect(toOutput.code == 5)
        #expect(toOutput.output.isEmpty)
    }

    @Test func whereNobodyListensTheMessageSaysWhatToDo() throws {
        let free = try #require(BlockingSocket.listening(port: 0))
        free.socket.close()
        let result = try CommandLineTool.run(["get", "a", "--server", "127.0.0.1:\(free.port)"])
        #expect(result.code == 3)
        #expect(
            result.errors
                == "memkv: 127.0.0.1:\(free.port) refused the connection; is memkvd running? "
                + "Start it with 'make run' or 'memkvd --data DIR'.\n")
    }

    @Test func refusalsEndWith4AndDeadlinesWith3() throws {
        for status in [Status.noSpace, .shuttingDown, .driveUnavailable, .tooLarge, .busy] {
            let server = ReferenceServer(Behaviour(refuses: (.tcpPut, status)))
            defer { server.stop() }
            #expect(try run(server, "put", "a", "--timeout", "0.5", input: [1]).code == 4)
        }
        let silent = ReferenceServer(Behaviour(neverAnswers: .tcpGet))
        defer { silent.stop() }
        #expect(try run(silent, "get", "a", "--timeout", "0.2").code == 3)
        let small = ReferenceServer(Behaviour(valueLimitBytes: 4))
        defer { small.stop() }
        let large = try run(small, "put", "a", input: [1, 2, 3, 4, 5])
        #expect(large.code == 4)
        #expect(large.errors.contains("more than the 4 B that the server takes"))
        #expect(try run(small, "put", "a").code == 4)
    }

    @Test(arguments: [
        ["nonsense"], ["put"], ["get", "a", "--timeout", "0"], ["get", "a", "--timeout", "x"],
        ["get", "a", "--server", "host:99999"], ["get", "a", "--server", "a:1,b:2,A:1"],
        ["get", "a", "--server", "a:1,,b:2"],
        ["get", "a", "--json"], ["put", "a", "/nonexistent/file"], ["import", "x"],
        ["import", "/tmp", "-o", "m"], ["setup"], ["setup", "--drives", "/tmp"],
        ["setup", "--drives", "new-file"],
        ["setup", "--drives", "new-file", "--max-size", "1 GB"],
        ["setup", "--drives", "new-file", "--max-size", "1 GiB", "--min-slot", "5 KiB"],
        ["setup", "--drives", "a", "a", "--max-size", "1 GiB"],
    ])
    func wrongUsageEndsWith2(arguments: [String]) throws {
        let result = try CommandLineTool.run(arguments)
        #expect(result.code == 2)
        #expect(!result.errors.isEmpty)
        #expect(result.output.isEmpty)
    }

    @Test func helpIsNoError() throws {
        for arguments in [["--help"], ["put", "--help"], ["admin", "status", "--help"]] {
            let result = try CommandLineTool.run(arguments)
            #expect(result.code == 0)
            #expect(result.text.contains("USAGE: memkv"))
        }
    }
}
