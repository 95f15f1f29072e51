// The device contract on everything a real drive can be, and what is particular to each.

#if IOUring

import ContractSuites
import Engine
import Glibc
import Ring
import Testing

@testable import IOUring

/// What a contract runs on.
enum Medium: Equatable, Sendable {
    case tmpfsFile, diskFile, memory
    case loop(logicalBlockBytes: Int)
    /// A device of this machine. What it holds is lost.
    case device(NamedDrive)

    static let filesAndMemory: [Medium] = [.tmpfsFile, .diskFile, .memory]
    /// The drives that this machine is said to have, and otherwise loop devices made for it.
    static let blockDevices: [Medium] =
        NamedDrive.all.isEmpty
        ? [.loop(logicalBlockBytes: 512), .loop(logicalBlockBytes: 4096)]
        : NamedDrive.all.map { .device($0) }

    /// Nil where that isn't what is tested.
    var logicalBlockBytes: Int? {
        switch self {
        case .tmpfsFile, .diskFile, .memory: nil
        case .loop(let bytes): bytes
        case .device(let drive): drive.logicalBlockBytes
        }
    }
}

/// One drive of 64 MiB, or a real one as large as it is, with everything around it; used and ended
/// by one thread.
struct DriveBench {
    let arena: Arena
    let shard: ShardRing
    var device: IOUringDevice
    private let held: [AnyObject]

    init(_ medium: Medium, operationLimit: Int = 64, entries: Int = 256) throws {
        let capacity = ByteCount(UInt64(64 << 20))
        var held: [AnyObject] = []
        let description: DriveDescription
        switch medium {
        case .memory: description = .memory(capacity: capacity)
        case .tmpfsFile, .diskFile:
            let file = ScratchFile(in: medium == .tmpfsFile ? "/dev/shm" : "/var/tmp")
            held.append(file)
            description = .file(path: file.path, createBytes: capacity)
        case .loop(let logicalBlockBytes):
            let loop = try #require(
                LoopDevice(logicalBlockBytes: logicalBlockBytes, capacityMebibytes: 64))
            held.append(loop)
            description = .direct(path: loop.path)
        case .device(let drive): description = .direct(path: drive.path)
        }
        self.held = held
        arena = try mapArena(bytes: ByteCount(UInt64(4 << 20))).arena
        shard = try ShardRing(arena: arena, inFlightLimit: operationLimit, entries: entries)
        device = try IOUringDevice(
            shard: shard, arena: arena, drives: [description], operationLimit: operationLimit)
    }

    mutating func checkContract(seed: UInt64) throws {
        let shard = shard
        let contract = DeviceContract<IOUringDevice>(
            drive: DriveIndex(0), arena: arena,
            memory: ArenaRange(start: ArenaOffset(4096), length: ByteCount(UInt64(1 << 20))),
            seed: seed
        ) { _ in shard.enter(wait: true) }
        try contract.checkAll(&device)
        #expect(device.operationsInFlight == 0)
    }
}

@Suite(.serialized) struct DeviceTests {
    @Test(arguments: Medium.filesAndMemory)
    func filesAndMemoryKeepTheContract(medium: Medium) throws {
        var bench = try DriveBench(medium)
        try bench.checkContract(seed: 1)
    }

    @Test(
        .enabled(if: LoopDevice.isAvailable || !NamedDrive.all.isEmpty),
        arguments: Medium.blockDevices)
    func blockDevicesKeepTheContract(medium: Medium) throws {
        var bench = try DriveBench(medium)
        let logicalBlockBytes = bench.device.geometry(of: DriveIndex(0)).logicalBlockBytes
        #expect(Int(logicalBlockBytes) == medium.logicalBlockBytes)
        #expect(bench.device.geometry(of: DriveIndex(0)).supportsDiscard)
        try bench.checkContract(seed: 2)
    }

    @Test func aSubmissionQueueTooSmallForAllIsEmptiedAndFilledAgain() throws {
        var bench = try DriveBench(.tmpfsFile, operationLimit: 128, entries: 4)
        try bench.checkContract(seed: 3)
    }

    @Test(.enabled(if: LoopDevice.isAvailable)) func aBlockDeviceInUseIsRefused() throws {
        let bench = try DriveBench(.memory)
        let loop = try #require(LoopDevice(logicalBlockBytes: 512, capacityMebibytes: 8))
        let first = try IOUringDevice(
            shard: try ShardRing(arena: bench.arena, inFlightLimit: 8), arena: bench.arena,
            drives: [.direct(path: loop.path)], operationLimit: 8)
        let other = try ShardRing(arena: bench.arena, inFlightLimit: 8)
        #expect(throws: DriveOpenError.inUse(path: loop.path)) {
            try IOUringDevice(
                shard: other, arena: bench.arena, drives: [.direct(path: loop.path)],
                operationLimit: 8)
        }
        withExtendedLifetime(first) {}
    }

    @Test func aFileInUseIsRefused() throws {
        let file = ScratchFile(in: "/dev/shm")
        let arena = try mapArena(bytes: ByteCount(4096)).arena
        let description = DriveDescription.file(
            path: file.path, createBytes: ByteCount(UInt64(4096)))
        let first = try IOUringDevice(
            shard: try ShardRing(arena: arena, inFlightLimit: 8), arena: arena,
            drives: [description], operationLimit: 8)
        let other = try ShardRing(arena: arena, inFlightLimit: 8)
        #expect(throws: DriveOpenError.inUse(path: file.path)) {
            try IOUringDevice(
                shard: other, arena: arena, drives: [description], operationLimit: 8)
        }
        withExtendedLifetime(first) {}
    }

    @Test func aDriveThatIsNotThereIsAbsent() throws {
        let arena = try mapArena(bytes: ByteCount(4096)).arena
        let shard = try ShardRing(arena: arena, inFlightLimit: 8)
        let device = try IOUringDevice(
            shard: shard, arena: arena,
            drives: [
                .file(path: "/dev/shm/memkv-nothing-here", createBytes: nil),
                .direct(path: "/dev/memkv-nothing-here"),
            ], operationLimit: 8)
        for index in 0..<2 {
            let drive = DriveIndex(UInt16(index))
            #expect(!device.geometry(of: drive).isPresent)
            #expect(device.absence(of: drive) == SystemError(ENOENT))
        }
    }

    @Test func theWrongKindOfFileIsRefusedByName() throws {
        let arena = try mapArena(bytes: ByteCount(4096)).arena
        let shard = try ShardRing(arena: arena, inFlightLimit: 8)
        let size = ByteCount(UInt64(4096))
        let cases: [(DriveDescription, DriveOpenError)] = [
            (.direct(path: "/etc/passwd"), .notABlockDevice(path: "/etc/passwd")),
            (.file(path: "/dev", createBytes: nil), .notAFile(path: "/dev")),
            (.file(path: "/dev/null", createBytes: size), .notAFile(path: "/dev/null")),
            (
                .file(path: "/dev/shm/memkv-odd", createBytes: ByteCount(UInt64(5))),
                .sizeNotWhole(path: "/dev/shm/memkv-odd", bytes: 5)
            ),
            (
                .file(path: "/nowhere/at/all", createBytes: size),
                .system(path: "/nowhere/at/all", SystemError(ENOENT))
            ),
        ]
        for (description, expected) in cases {
            #expect(throws: expected) {
                try IOUringDevice(
                    shard: shard, arena: arena, drives: [description], operationLimit: 8)
            }
        }
    }

    @Test func aFileCutShortUnderneathIsGone() throws {
        let file = ScratchFile(in: "/dev/shm")
        let arena = try mapArena(bytes: ByteCount(UInt64(1 << 20))).arena
        let shard = try ShardRing(arena: arena, inFlightLimit: 8)
        let device = try IOUringDevice(
            shard: shard, arena: arena,
            drives: [.file(path: file.path, createBytes: ByteCount(UInt64(1 << 20)))],
            operationLimit: 8)
        _ = run("truncate -s 6000 \(file.path)")
        device.submit(
            DeviceOperation(
                action: .read, drive: DriveIndex(0), offset: ByteOffset(0),
                length: ByteCount(UInt64(16384)), tag: OperationTag(7)))
        #expect(try finished(device, shard).error == .gone)
    }

    @Test func aWriteAtItsEndDoesNotMakeAFileWholeThatWasCutShort() throws {
        let file = ScratchFile(in: "/dev/shm")
        let arena = try mapArena(bytes: ByteCount(UInt64(1 << 20))).arena
        let shard = try ShardRing(arena: arena, inFlightLimit: 8)
        let device = try IOUringDevice(
            shard: shard, arena: arena,
            drives: [.file(path: file.path, createBytes: ByteCount(UInt64(1 << 20)))],
            operationLimit: 8)
        let write = DeviceOperation(
            action: .write, drive: DriveIndex(0), offset: ByteOffset((1 << 20) - 4096),
            length: ByteCount(UInt64(4096)), tag: OperationTag(1))
        device.submit(write)
        #expect(try finished(device, shard).error == nil)
        _ = run("truncate -s 6000 \(file.path)")
        device.submit(write)
        #expect(try finished(device, shard).error == .gone)
        device.submit(
            DeviceOperation(action: .flush, drive: DriveIndex(0), tag: OperationTag(2)))
        #expect(try finished(device, shard).error == .gone)
    }

    @Test(.enabled(if: TinyFileSystem.isAvailable)) func aFullFileSystemIsNoSpaceAndNotGone() throws
    {
        let fileSystem = try #require(TinyFileSystem())
        let arena = try mapArena(bytes: ByteCount(UInt64(2 << 20))).arena
        let shard = try ShardRing(arena: arena, inFlightLimit: 8)
        let path = fileSystem.path + "/drive"
        let device = try IOUringDevice(
            shard: shard, arena: arena,
            drives: [.file(path: path, createBytes: ByteCount(UInt64(4 << 20)))],
            operationLimit: 8)
        device.submit(
            DeviceOperation(
                action: .write, drive: DriveIndex(0), offset: ByteOffset(0),
                length: ByteCount(UInt64(2 << 20)), tag: OperationTag(1)))
        #expect(try finished(device, shard).error == .noSpace)
    }

    private func finished(_ device: IOUringDevice, _ shard: ShardRing) throws -> DeviceCompletion {
        for _ in 0..<1000 {
            if let completion = device.nextCompletion() { return completion }
            shard.enter(wait: true)
        }
        throw ContractViolation("no completion after 1000 waits")
    }

    /// Errors as the port's document lists them.
    @Test(arguments: [
        (EIO, true, DeviceError.inputOutput), (ENODATA, true, .medium), (EILSEQ, false, .medium),
        (ENOSPC, true, .gone), (ENOSPC, false, .noSpace), (EDQUOT, false, .noSpace),
        (ENODEV, true, .gone), (ENXIO, false, .gone), (EOPNOTSUPP, true, .unsupported),
        (EFAULT, false, .inputOutput),
    ])
    func everyErrnoHasItsMeaning(code: Int32, onBlockDevice: Bool, meaning: DeviceError) {
        #expect(DeviceError(errno: code, onBlockDevice: onBlockDevice) == meaning)
    }
}

#endif
