// memkv import and export: what is stored, what is verified, and what happens when the server
// misbehaves.

import Client
import Foundation
import Testing
import Wire

@Suite struct TransferTests {
    private func run(_ server: ReferenceServer, _ arguments: [String]) throws -> CommandResult {
        try CommandLineTool.run(arguments + ["--server", "127.0.0.1:\(server.port)"])
    }

    private func importArguments(_ files: [String], _ folder: Folder) -> [String] {
        ["import"] + files + ["-o", folder.path("manifest"), "--block-size", "64 KiB"]
    }

    @Test func filesGoInOnceAndComeOutEqual() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let folder = try Folder()
        let bytes = pattern(1_000_003, seed: 11)
        let files = [
            try folder.write(bytes, to: "large"), try folder.write([], to: "empty"),
            try folder.write([7], to: "tiny"),
        ]
        let first = try run(server, importArguments(files, folder) + ["--namespace", "2"])
        #expect(first.code == 0)
        #expect(first.text.hasPrefix("17 blocks stored, 0 already present, 1000004 bytes in "))
        #expect(first.errors.isEmpty)
        #expect(server.storedKeys.count == 17)
        #expect(server.storedKeys.allSatisfy { $0.namespace == Namespace(2) })
        for key in server.storedKeys {
            #expect(BlockKey.sha256(of: server[key] ?? [], namespace: Namespace(2)) == key)
        }
        let again = try run(server, importArguments(files, folder) + ["--namespace", "2"])
        #expect(again.text.hasPrefix("0 blocks stored, 17 already present, 1000004 bytes in "))
        #expect(server.requests(of: .tcpPut) == 17)

        let exported = try run(
            server, ["export", folder.path("manifest"), "-o", folder.path("out")])
        #expect(exported.code == 0)
        #expect(folder.read("out/large") == bytes)
        #expect(folder.read("out/empty") == [])
        #expect(folder.read("out/tiny") == [7])
        #expect(folder.names == ["empty", "large", "manifest", "out", "tiny"])
    }

    @Test func aBlockThatStandsTwiceIsStoredOnce() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let folder = try Folder()
        let block = pattern(64 << 10, seed: 5)
        // Eight times the same block: several of them are under way at once.
        let file = try folder.write(
            [[UInt8]](repeating: block, count: 8).flatMap { $0 }, to: "same")
        let result = try run(server, importArguments([file], folder))
        #expect(result.text.hasPrefix("1 blocks stored, 7 already present, 524288 bytes in "))
        #expect(server.storedKeys.count == 1)
    }

    /// "é" as one character and as two: one name to Unicode, two files to the kernel.
    @Test func namesThatOnlyLookAlikeAreTwoFiles() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let folder = try Folder()
        let files = [
            try folder.write([1], to: "caf\u{E9}"), try folder.write([2], to: "cafe\u{301}"),
        ]
        #expect(try run(server, importArguments(files, folder)).code == 0)
        let exported = try run(
            server, ["export", folder.path("manifest"), "-o", folder.path("out")])
        #expect(exported.code == 0)
        #expect(folder.read("out/caf\u{E9}") == [1])
        #expect(folder.read("out/cafe\u{301}") == [2])
        #expect(try run(server, importArguments([files[0], files[0]], folder)).code == 2)
    }

    @Test func theInputIsNeverReplaced() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let folder = try Folder()
        let bytes = pattern(1000, seed: 3)
        let file = try folder.write(bytes, to: "file")
        let imported = try run(server, ["import", file, "-o", file])
        #expect(imported.code == 2)
        #expect(folder.read("file") == bytes)
        #expect(try run(server, importArguments([file], folder)).code == 0)
        let manifest = folder.path("manifest")
        #expect(try run(server, ["export", manifest, "-o", manifest]).code == 2)
        #expect(try run(server, ["export", manifest, "-o", folder.path("copy")]).code == 0)
        #expect(folder.read("copy") == bytes)
    }

    @Test func aConnectionThatKeepsBreakingOnlyCostsTime() throws {
        let server = ReferenceServer(Behaviour(closesAfterRequests: 5))
        defer { server.stop() }
        let folder = try Folder()
        let bytes = pattern(2_000_000, seed: 12)
        let file = try folder.write(bytes, to: "file")
        #expect(try run(server, importArguments([file], folder)).code == 0)
        let result = try run(server, ["export", folder.path("manifest"), "-o", folder.path("out")])
        #expect(result.code == 0)
        #expect(folder.read("out") == bytes)
        #expect(server.requests(of: .connect) > 8)
    }

    @Test func aServerThatComesBackIsUsedAgain() throws {
        // Below the ports that the system gives out, so that nobody takes it in between.
        let first = ReferenceServer(Behaviour(closesAfterRequests: 3), port: 21_907)
        let folder = try Folder()
        let bytes = pattern(3_000_000, seed: 13)
        let file = try folder.write(bytes, to: "file")
        let arguments =
            importArguments([file], folder) + ["--connections", "1", "--in-flight", "2"]
        let process = try CommandLineTool.start(
            arguments + ["--server", "127.0.0.1:\(first.port)"])
        while first.requests(of: .tcpPut) < 4 { usleep(1000) }
        first.stop()
        usleep(100_000)
        let second = ReferenceServer(port: first.port)
        defer { second.stop() }
        for key in first.storedKeys { second[key] = first[key] }
        #expect(CommandLineTool.finish(process).code == 0)
        #expect(second.requests(of: .tcpPut) > 0)
        let result = try run(second, ["export", folder.path("manifest"), "-o", folder.path("out")])
        #expect(result.code == 0)
        #expect(folder.read("out") == bytes)
    }

    @Test func aServerThatStaysAwayEndsTheImportWith3AndNoManifest() throws {
        let server = ReferenceServer(Behaviour(closesInsideResponseTo: .tcpPut))
        defer { server.stop() }
        let folder = try Folder()
        let file = try folder.write(pattern(300_000, seed: 14), to: "file")
        let result = try run(server, importArguments([file], folder) + ["--timeout", "2"])
        #expect(result.code == 3)
        #expect(
            result.errors.contains("closed the connection inside a response")
                || result.errors.contains("the connection failed"), "\(result.errors)")
        #expect(folder.names == ["file"])
    }

    @Test func aFullStoreEndsTheImportWith4AndNoManifest() throws {
        let server = ReferenceServer(Behaviour(refuses: (.tcpPut, .noSpace)))
        defer { server.stop() }
        let folder = try Folder()
        let file = try folder.write(pattern(300_000, seed: 15), to: "file")
        let result = try run(server, importArguments([file], folder))
        #expect(result.code == 4)
        #expect(result.errors.contains("the store is full"))
        #expect(folder.names == ["file"])
    }

    @Test func aMissingBlockIsNamedAndNothingIsWritten() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let folder = try Folder()
        let file = try folder.write(pattern(300_000, seed: 16), to: "file")
        #expect(try run(server, importArguments([file], folder)).code == 0)
        let victim = server.storedKeys[2]
        server[victim] = nil
        let result = try run(server, ["export", folder.path("manifest"), "-o", folder.path("out")])
        #expect(result.code == 1)
        #expect(result.errors.contains("block \(victim.hexadecimal)"))
        #expect(folder.names == ["file", "manifest"])
    }

    @Test func damageIsFoundWhereverItHappens() throws {
        let folder = try Folder()
        let file = try folder.write(pattern(300_000, seed: 17), to: "file")
        let honest = ReferenceServer()
        defer { honest.stop() }
        #expect(try run(honest, importArguments([file], folder)).code == 0)
        for behaviour in [Behaviour(damagesValues: true), Behaviour(answersWithOtherValues: true)] {
            let server = ReferenceServer(behaviour)
            defer { server.stop() }
            for key in honest.storedKeys { server[key] = honest[key] }
            let result = try run(
                server, ["export", folder.path("manifest"), "-o", folder.path("out")])
            #expect(result.code == 5)
            #expect(folder.names == ["file", "manifest"])
        }
        // A block replaced by a shorter one.
        let victim = honest.storedKeys[0]
        honest[victim] = [1]
        let result = try run(honest, ["export", folder.path("manifest"), "-o", folder.path("out")])
        #expect(result.code == 5)
        #expect(result.errors.contains("it has 1 bytes"))
    }

    @Test func aForgedManifestIsRefused() throws {
        let server = ReferenceServer()
        defer { server.stop() }
        let folder = try Folder()
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        func manifest(name: String, size: Int = 0, version: Int = 1, sha256: String? = nil)
            -> String
        {
            """
            {"format": "memkv-manifest", "version": \(version), "block_size": 1, "namespace": 0,
             "files": [{"name": "\(name)", "size": \(size),
               "sha256": "\(sha256 ?? empty)", "blocks": []}]}
            """
        }
        let cases: [(text: String, code: Int32, words: String)] = [
            (manifest(name: "../escape"), 5, "not a plain file name"),
            (manifest(name: ".."), 5, "not a plain file name"),
            (manifest(name: "../\u{301}escape"), 5, "not a plain file name"),
            (manifest(name: "a", size: 3), 5, "have 0 bytes, the file 3"),
            (manifest(name: "a", version: 2), 4, "use a newer one"),
            (manifest(name: "a", sha256: "00"), 5, "the manifest says 00"),
            ("{}", 5, "'format' is missing"), ("no", 5, "not well-formed JSON"),
        ]
        for wanted in cases {
            let path = try folder.write(Array(wanted.text.utf8), to: "manifest")
            let result = try run(server, ["export", path, "-o", folder.path("out")])
            #expect(result.code == wanted.code)
            #expect(result.errors.contains(wanted.words))
            #expect(folder.names == ["manifest"])
        }
        let path = try folder.write(Array(manifest(name: "a").utf8), to: "manifest")
        #expect(try run(server, ["export", path, "-o", folder.path("out")]).code == 0)
    }

    @Test func blocksAreCutToTheServersLimit() throws {
        let server = ReferenceServer(Behaviour(valueLimitBytes: 10_000))
        defer { server.stop() }
        let folder = try Folder()
        let file = try folder.write(pattern(25_000, seed: 18), to: "file")
        let result = try run(server, ["import", file, "-o", folder.path("manifest"), "--json"])
        #expect(result.code == 0)
        #expect(
            server.storedKeys.compactMap { server[$0]?.count }.sorted() == [5000, 10_000, 10_000])
        #expect(result.text.contains("\"already_present\" : 0"))
        let refused = try run(
            server, ["import", file, "-o", folder.path("manifest"), "--block-size", "16 KiB"])
        #expect(refused.code == 4)
    }
}
