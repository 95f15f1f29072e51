// memkv over several servers: how they are named, what one that is down costs, what the exit code
// says.

import Client
import Foundation
import Testing
import Wire

@Suite struct SeveralServersTests {
    private func list(_ ports: [UInt16]) -> String {
        ports.map { "127.0.0.1:\($0)" }.joined(separator: ",")
    }

    /// A port where nobody listens.
    private func deadPort() throws -> UInt16 {
        let free = try #require(BlockingSocket.listening(port: 0))
        free.socket.close()
        return free.port
    }

    @Test func blocksAreSharedAndComeTogether() throws {
        let servers = (0..<3).map { _ in ReferenceServer() }
        defer { servers.forEach { $0.stop() } }
        let ports = servers.map(\.port)
        let folder = try Folder()
        let bytes = pattern(3_000_000, seed: 31)
        let file = try folder.write(bytes, to: "file")
        let environment = ["MEMKV_SERVERS": list(ports)]
        let imported = try CommandLineTool.run(
            ["import", file, "-o", folder.path("manifest"), "--block-size", "64 KiB"],
            environment: environment)
        #expect(imported.code == 0, "\(imported.errors)")
        #expect(servers.map(\.storedKeys.count).reduce(0, +) == 46)
        #expect(servers.allSatisfy { $0.storedKeys.count > 3 })
        // In another order, from a configuration file.
        let config = try folder.write(
            Array("servers:\n".utf8)
                + ports.reversed().flatMap { Array("  - 127.0.0.1:\($0)\n".utf8) }
                + Array("transport: tcp\n".utf8), to: "client.yaml")
        let exported = try CommandLineTool.run(
            ["export", folder.path("manifest"), "-o", folder.path("out")],
            environment: ["MEMKV_CONFIG": config])
        #expect(exported.code == 0, "\(exported.errors)")
        #expect(folder.read("out") == bytes)
    }

    @Test func aServerThatIsDownCostsItsOwnKeys() throws {
        let up = ReferenceServer()
        defer { up.stop() }
        let dead = try deadPort()
        let servers = [up.port, dead].map { ServerAddress(host: "127.0.0.1", port: $0) }
        let placement = Placement(over: servers)
        let names = (0..<20).map { "name \($0)" }
        func isUp(_ name: String) -> Bool {
            placement.server(for: KeyRule.key(name, namespace: Namespace(0))).rawValue == 0
        }
        for name in names where isUp(name) { up[KeyRule.key(name, namespace: Namespace(0))] = [1] }
        let result = try CommandLineTool.run(
            ["exists"] + names + ["--server", list([up.port, dead])])
        #expect(result.code == 3)
        #expect(
            result.text
                == names.map { "\(isUp($0) ? "present" : "unreachable")  \($0)\n" }.joined())
        #expect(result.errors.contains("127.0.0.1:\(dead) refused the connection"))
        let mine = try #require(names.first(where: isUp))
        let other = try #require(names.first { !isUp($0) })
        #expect(
            try CommandLineTool.run(["get", mine, "--server", list([up.port, dead])]).code == 0)
        #expect(
            try CommandLineTool.run(["get", other, "--server", list([up.port, dead])]).code == 3)
    }

    @Test func adminShowsThoseThatAnswer() throws {
        let health = #"{"status":"healthy","drives_online":1,"drives_total":1}"#
        let up = ReferenceServer(Behaviour(adminAnswers: ["/v1/health": health]))
        defer { up.stop() }
        let dead = try deadPort()
        let result = try CommandLineTool.run(
            ["admin", "health", "--server", list([dead, up.port])])
        #expect(result.code == 3)
        #expect(result.text == "127.0.0.1:\(up.port)  healthy, 1 of 1 drives online\n")
        #expect(result.errors.contains("127.0.0.1:\(dead + 1) refused the connection"))
        let json = try CommandLineTool.run(
            ["admin", "health", "--json", "--server", list([dead, up.port])])
        #expect(json.code == 3)
        let object = try #require(
            try JSONSerialization.jsonObject(with: json.output) as? [String: [String: Any]])
        #expect(object["127.0.0.1:\(up.port)"]?["status"] as? String == "healthy")
        #expect((object["127.0.0.1:\(dead)"]?["error"] as? String)?.contains("refused") == true)
    }

    @Test(arguments: [
        ("servers: [a:1, a:1]", "a:1 is named twice"), ("servers: a:1", "expected a list"),
        ("servers: [a:b]", "'a:b' is not a server's address"),
        ("serverz: [a:1]", "did you mean servers?"),
        ("transport: wire", "is not one of auto, rdma, tcp"),
        ("auth_key: 12", "auth_key: it doesn't hold a key"),
        ("rdma_devices: [mlx5_0, mlx5_0]", "mlx5_0 is named twice"),
        ("rdma_devices: mlx5_0", "expected a list"),
    ])
    func aConfigurationThatIsWrongIsRefusedByLine(text: String, words: String) throws {
        let folder = try Folder()
        let path = try folder.write(Array("\n\(text)\n".utf8), to: "client.yaml")
        let result = try CommandLineTool.run(
            ["get", "a"], environment: ["MEMKV_CONFIG": path])
        #expect(result.code == 2)
        #expect(result.errors.contains("\(path):2: "))
        #expect(result.errors.contains(words), "\(result.errors)")
    }

    @Test func variablesThatAreWrongAreNamed() throws {
        for (name, value) in [
            ("MEMKV_CONFIG", "/nonexistent"), ("MEMKV_SERVERS", "a:1,"), ("MEMKV_TRANSPORT", "x"),
        ] {
            let result = try CommandLineTool.run(["get", "a"], environment: [name: value])
            #expect(result.code == 2)
            #expect(result.errors.hasPrefix("memkv: \(name): "), "\(result.errors)")
        }
    }

    /// No machine has a device of this name; one without any says that.
    @Test func rdmaAloneWithoutADeviceIsRefusedAndAutoGoesOnByTCP() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        server[KeyRule.key("a", namespace: Namespace(0))] = [1, 2]
        let address = ["--server", "127.0.0.1:\(server.port)"]
        let devices = ["MEMKV_RDMA_DEVICES": "no-such-device"]
        let strict = try CommandLineTool.run(
            ["get", "a", "--transport", "rdma"] + address, environment: devices)
        #expect(strict.code == 2)
        #expect(
            strict.errors.hasPrefix("memkv: RDMA is asked for: ")
                && strict.errors.contains("no RDMA device"), "\(strict.errors)")
        let auto = try CommandLineTool.run(["get", "a"] + address, environment: devices)
        #expect(auto.code == 0 && auto.output == Data([1, 2]), "\(auto.errors)")
        let unknown = try CommandLineTool.run(["get", "a", "--transport", "wire"] + address)
        #expect(unknown.code == 2)
        #expect(unknown.errors.contains("--transport: "), "\(unknown.errors)")
    }

    @Test func theVersionIsTold() throws {
        let result = try CommandLineTool.run(["--version"])
        #expect(result.code == 0)
        #expect(result.text == "\(ProductVersion.current)\n")
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func anExportThatIsInterruptedLeavesNothing(signalNumber: Int32) throws {
        let folder = try Folder()
        let file = try folder.write(pattern(300_000, seed: 32), to: "file")
        let honest = ReferenceServer()
        defer { honest.stop() }
        let manifest = folder.path("manifest")
        let address = "127.0.0.1:\(honest.port)"
        #expect(
            try CommandLineTool.run(["import", file, "-o", manifest, "--server", address]).code
                == 0)
        let silent = ReferenceServer(Behaviour(neverAnswers: .tcpGet))
        defer { silent.stop() }
        let process = try CommandLineTool.start(
            ["export", manifest, "-o", folder.path("out"), "--server", "127.0.0.1:\(silent.port)"])
        while silent.requests(of: .tcpGet) == 0 { usleep(1000) }
        #expect(folder.names.contains { $0.hasSuffix(".memkv-part") })
        kill(process.processIdentifier, signalNumber)
        _ = CommandLineTool.finish(process)
        #expect(process.terminationReason == .uncaughtSignal)
        #expect(process.terminationStatus == signalNumber)
        #expect(folder.names == ["file", "manifest"])
    }
}
