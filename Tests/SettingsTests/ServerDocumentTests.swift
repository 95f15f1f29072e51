// The configuration file: every key arrives, every mistake is refused with its file, line and key.

import Engine
import Testing

@testable import Schema
@testable import Settings

/// The message that a document is refused with; nil when it is taken.
private func refusal(_ lines: String..., data: String? = nil, listen: String? = nil) -> String? {
    do throws(ConfigurationError) {
        _ = try settings(lines.joined(separator: "\n"), data: data, listen: listen)
        return nil
    } catch {
        return error.description
    }
}

private func settings(
    _ text: String, data: String? = nil, listen: String? = nil,
    environment: [String: String] = [:]
) throws(ConfigurationError) -> ServerSettings {
    let invocation = try ServerInvocation(
        listenFlag: listen, dataFlag: data, configFlag: nil, environment: environment)
    let document = try ServerDocument(text: text, file: "memkvd.yaml")
    return try ServerSettings(invocation: invocation, document: document)
}

private let twoFileDrives = """
    network: { address: "127.0.0.1:7000" }
    memory:
      block_size: 1 MiB
      max_size: 64 MiB
    storage:
      mode: file
      block_size: 2 MiB
      min_slot: 16 KiB
      max_size: 10 GiB
      durability: durable
      eviction: { enabled: false, watermark: 80 }
      drives:
        - media: /srv/a.memkv
        - { media: /srv/b.memkv, max_size: 20 GiB }
    """

@Suite struct ServerDocumentTests {
    @Test func everyKeyOfAFileArrives() throws {
        let read = try settings(twoFileDrives)
        #expect(read.listen.description == "127.0.0.1:7000")
        #expect(read.listen.adminPort == 7001)
        #expect(read.slabBytes == ByteCount(UInt64(1 << 20)))
        #expect(read.poolBytes == ByteCount(UInt64(64 << 20)))
        #expect(read.engine.blockSizeBytes == 2 << 20)
        #expect(read.engine.minimumSlotBytes == 16 << 10)
        #expect(read.engine.evictionEnabled == false)
        #expect(read.engine.evictionWatermarkPercent == 80)
        let gibibyte: UInt64 = 1 << 30
        let places = [
            DrivePlace(path: "/srv/a.memkv", maximumBytes: ByteCount(10 * gibibyte)),
            DrivePlace(path: "/srv/b.memkv", maximumBytes: ByteCount(20 * gibibyte)),
        ]
        #expect(read.store == .drives(places, mode: .file))
    }

    @Test func aDirectoryAloneNeedsNothingElse() throws {
        let read = try settings("", data: "/tmp/store")
        #expect(read.listen == .standard)
        #expect(read.store == .directory("/tmp/store", driveBytes: nil))
        #expect(read.engine.blockSizeBytes == 4 << 20)
        #expect(read.engine.minimumSlotBytes == 64 << 10)
        #expect(read.engine.evictionEnabled)
        #expect(read.engine.evictionWatermarkPercent == 95)
        #expect(read.slabBytes == ByteCount(UInt64(2 << 20)))
        #expect(read.poolBytes == ByteCount(UInt64(256 << 20)))
    }

    @Test func smallSlotsLowerTheLargestValue() throws {
        let read = try settings("storage: { block_size: 16 KiB }", data: "/tmp/store")
        #expect(read.engine.minimumSlotBytes == 16 << 10)
        #expect(read.engine.valueLimitBytes == 256 << 10)
        #expect(read.engine.impossibility == nil)
    }

    @Test func rawDevicesAndMemoryAreModesOfTheirOwn() throws {
        let raw = try settings(
            "storage: { mode: direct, drives: [ { media: /dev/loop7 } ] }")
        let places = [DrivePlace(path: "/dev/loop7", maximumBytes: nil)]
        #expect(raw.store == .drives(places, mode: .direct))
        let memory = try settings("storage: { mode: memory, max_size: 1 GiB }")
        #expect(memory.store == .memory(driveBytes: ByteCount(UInt64(1 << 30))))
    }

    // MARK: Precedence

    @Test func flagsBeatTheEnvironmentAndTheEnvironmentBeatsTheFile() throws {
        let file = "network: { address: 127.0.0.1:7001 }"
        let variables = ["MEMKVD_LISTEN": "127.0.0.1:7002", "MEMKVD_DATA": "/from/variable"]
        #expect(try settings(file, data: "/x").listen.port == 7001)
        #expect(try settings(file, data: "/x", environment: variables).listen.port == 7002)
        let all = try settings(
            file, data: "/from/flag", listen: "127.0.0.1:7003", environment: variables)
        #expect(all.listen.port == 7003)
        #expect(all.store == .directory("/from/flag", driveBytes: nil))
        #expect(
            try settings(file, environment: variables).store
                == .directory("/from/variable", driveBytes: nil))
    }

    // MARK: Refusals

    @Test func anUnknownKeyIsNamedWithItsLineAndTheNearestKey() {
        #expect(
            refusal("network:", "  address: 127.0.0.1:9900", "storage:", "  blok_size: 4 MiB")
                == "memkvd.yaml:4: storage.blok_size: unknown key; did you mean storage.block_size?"
        )
        #expect(
            refusal("storage:", "  mode: file", "  drives:", "    - media: /a", "      sise: 1")
                == "memkvd.yaml:5: storage.drives[0].sise: unknown key; "
                + "known here: media, max_size")
        #expect(
            refusal("storag: {}")
                == "memkvd.yaml:1: storag: unknown key; did you mean storage?")
    }

    @Test(arguments: ServerDocument.allKeysNotBuilt)
    func aKeyThatIsNotBuiltIsRefusedAsSuch(key: String) {
        let parts = key.split(separator: ".").map(String.init)
        let text = parts.count == 1 ? "\(key): {}" : "\(parts[0]): { \(parts[1]): x }"
        #expect(
            refusal(text, data: "/x")
                == "memkvd.yaml:1: \(key): not built in this version; remove the key")
    }

    @Test func rdmaNamesItsDevices() throws {
        #expect(try settings("", data: "/x").rdma == nil)
        let one = try settings("rdma: { device: mlx5_0 }", data: "/x").rdma
        #expect(one?.devices == [.named("mlx5_0")])
        #expect(one?.queuePairs == RDMASettings.standardQueuePairs)
        #expect(one?.leasesPerSession == RDMASettings.standardLeases)
        #expect(one?.leaseMicroseconds == RDMASettings.standardLeaseMicroseconds)
        let numbers = "queue_pairs: 7, leases_per_session: 3, lease_time: 5 s"
        let two = try settings("rdma: { devices: [a, b], \(numbers) }", data: "/x").rdma
        #expect(two?.devices == [.named("a"), .named("b")])
        #expect(two?.queuePairs == 7)
        #expect(two?.leasesPerSession == 3)
        #expect(two?.leaseMicroseconds == 5_000_000)
        func choice(_ text: String) throws -> [RDMADeviceChoice]? {
            try settings("rdma: { \(text) }", data: "/x").rdma?.devices
        }
        #expect(try choice("soft_roce: eth0") == [.softRoCE("eth0")])
        #expect(try choice("interface: eth0") == [.interface("eth0")])
        #expect(try choice("device: auto") == [.automatic])
        let several = "give one device, a list in rdma.devices, rdma.interface or rdma.soft_roce, "
        #expect(
            refusal("rdma: { device: a, devices: [b] }", data: "/x")
                == "memkvd.yaml:1: rdma.device: \(several)and not several of them")
        #expect(
            refusal("rdma: { interface: a, soft_roce: a }", data: "/x")
                == "memkvd.yaml:1: rdma.interface: \(several)and not several of them")
        #expect(
            refusal("rdma: { devices: [a, a] }", data: "/x")
                == "memkvd.yaml:1: rdma.devices[1]: a is listed twice")
        #expect(
            refusal("rdma:", "  queue_pairs: 3", data: "/x")
                == "memkvd.yaml:1: rdma.device: missing; name the RDMA device (rdma link shows "
                + "them), or give rdma.interface or rdma.soft_roce a network interface")
    }

    @Test func shardsNeedADriveAndSlabsEach() throws {
        let drives = ["storage:", "  mode: file", "  drives: [{ media: /a }, { media: /b }]"]
        func text(_ more: String) -> String { (drives + [more]).joined(separator: "\n") }
        #expect(try settings(text("  shards: 2")).shardCount(processors: 1) == 2)
        #expect(try settings(text("")).shardCount(processors: 1) == 1)
        #expect(try settings(text("")).shardCount(processors: 8) == 2)
        let small = "memory: { max_size: 32 MiB }"
        #expect(try settings(text(small)).shardCount(processors: 8) == 1)
        #expect(
            refusal(text("  shards: 3"))
                == "memkvd.yaml:4: storage.shards: 3 shards for 2 drives; a drive belongs to one "
                + "shard, so there can't be more shards than drives")
        #expect(
            refusal(text("  shards: 2"), small)
                == "memkvd.yaml:4: storage.shards: 2 shards need a pool of 64 MiB, two "
                + "of the largest payloads each; raise memory.max_size")
        #expect(
            refusal(text("  shards: 0"))
                == "memkvd.yaml:4: storage.shards: \"0\" is not a whole number from 1 to 16")
    }

    @Test func aPromiseThatIsNotBuiltIsRefused() {
        #expect(
            refusal("storage:", "  durability: relaxed", data: "/x")
                == "memkvd.yaml:2: storage.durability: relaxed is not built in this version; "
                + "every acknowledged block is durable")
    }

    @Test(
        arguments: [
            ("storage: { block_size: 4 MB }", "storage.block_size: \"4 MB\" is not a size"),
            ("storage: { block_size: 3 MiB }", "storage.block_size must be a power of two"),
            ("storage: { block_size: 32 MiB }", "storage.block_size: 32 MiB is more than 16 MiB"),
            ("storage: { min_slot: 1 KiB }", "storage.min_slot must be a power of two of at least"),
            (
                "storage: { min_slot: 8 MiB }",
                "storage.block_size must be a power of two, not below"
            ),
            ("storage: { scrub: { rate: 4 KiB } }", "less than 64 KiB, a piece; give more, or 0"),
            ("storage: { scrub: { rate: fast } }", "is not a size"),
            ("storage: { scrub: { pause: 31 } }", "is not a length of time"),
            ("storage: { eviction: { enabled: yes } }", "\"yes\" is neither true nor false"),
            (
                "storage: { eviction: { watermark: 0 } }",
                "\"0\" is not a whole number from 1 to 100"
            ),
            ("storage: { eviction: { watermark: 95% } }", "\"95%\" is not a whole number"),
            ("storage: { eviction: }", "expected keys with values here"),
            ("storage: { mode: fast }", "\"fast\" is not one of direct, file, memory"),
            ("storage: { mode: direct }", "mode direct contradicts it"),
            ("storage: { drives: [ { media: /a } ] }", "the store is given twice"),
            ("storage: { drives: /a }", "storage.drives: expected a list"),
            ("storage: { drives: [ /a ] }", "storage.drives[0]: expected keys"),
            ("storage: { drives: [ { max_size: 1 GiB } ] }", "storage.drives[0].media: missing"),
            ("network: { address: [ 1 ] }", "network.address: expected one value"),
            ("network: { address: }", "network.address: has no value"),
            ("memory: { block_size: 5000 }", "must be a multiple of 4 KiB"),
            ("memory: { max_size: 16 MiB }", "a pool of 16 MiB is too small"),
            ("memory: { max_size: 1 GiB, max_size: 2 GiB }", "max_size: given more than once"),
            ("memory: [", "not valid YAML"),
            ("a: 1\n---\nb: 2", ""),
        ] as [(String, String)])
    func aWrongValueIsRefusedWithItsLine(text: String, problem: String) throws {
        let message = try #require(refusal(text, data: "/x"))
        #expect(message.hasPrefix("memkvd.yaml:"), "\(message)")
        #expect(message.contains(problem), "\(message)")
    }

    @Test func aStoreMustBeNamedAndNamedOnce() throws {
        #expect(try #require(refusal("")).hasPrefix("no drives: give --data DIR"))
        let cases = [
            ("storage: { drives: [ { media: /a } ] }", "storage.mode: missing"),
            ("storage: { mode: file }", "storage.drives: missing"),
            ("storage: { mode: file, drives: [] }", "storage.drives: missing"),
            ("storage: { mode: memory }", "storage.max_size: missing"),
            ("storage: { mode: memory, drives: [ { media: /a } ] }", "mode memory has no drives"),
            (
                "storage: { mode: direct, max_size: 1 GiB, drives: [ { media: /a } ] }",
                "a raw device has its own size"
            ),
            (
                "storage: { mode: file, drives: [ { media: /a }, { media: /a } ] }",
                "/a is listed twice"
            ),
        ]
        for (text, problem) in cases {
            let message = try #require(refusal(text))
            #expect(message.contains(problem), "\(message)")
        }
    }

    @Test(arguments: [
        ("0.0.0.0:9900", "0.0.0.0 can be reached by others"),
        ("10.0.0.7:9900", "10.0.0.7 can be reached by others"),
        ("[::1]:9900", "IPv6 is not built"),
        ("127.0.0.1", "has no port"),
        ("127.0.0.1:0", "must be a number from 1 to 65534"),
        ("127.0.0.1:65535", "must be a number from 1 to 65534"),
        ("127.0.0.256:1", "is not an IPv4 address"),
        ("127.0.0:1", "is not an IPv4 address"),
        ("127.0..1:1", "is not an IPv4 address"),
        ("example.org:9900", "is not an IPv4 address"),
        ("", "is empty"),
    ])
    func aWrongAddressIsNamed(address: String, problem: String) throws {
        let message = try #require(refusal("", data: "/x", listen: address))
        #expect(message.hasPrefix("--listen: "), "\(message)")
        #expect(message.contains(problem), "\(message)")
    }

    @Test func localhostIsALoopbackAddress() throws {
        #expect(try settings("", data: "/x", listen: "localhost:80").listen.host == "127.0.0.1")
        #expect(try settings("", data: "/x", listen: "127.8.9.1:80").listen.host == "127.8.9.1")
    }
}
