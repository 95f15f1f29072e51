// setup: formats drives and prints a configuration that serves them. YAML on stdout, sentences on
// stderr.
//
// Always holds: nothing is written to any drive before every drive was looked at and found
// acceptable; what a drive carries, a store, a file system or anything else, is given up with
// --force only; a drive in use is never formatted.

import ArgumentParser
import Client
import Engine
import Settings
#if Verbs
import SoftRoCE
#endif

struct Setup: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Format drives and print a configuration that serves them.",
        discussion: """
            A block device is used raw; any other path is a file, made if absent, and needs \
            --max-size. The drives of one store are all of one kind. The configuration goes to \
            standard output: \
            memkv setup --drives /dev/nvme0n1 > config.yaml
            """)

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Block devices, or files.", valueName: "path"))
    var drives: [String]

    @Option(help: "Size of each file drive, written like \"64 GiB\".")
    var maxSize: ByteSize?

    @Option(help: "The largest slot.")
    var blockSize = ByteSize(bytes: 4 << 20)

    @Option(help: "The smallest slot.")
    var minSlot = ByteSize(bytes: 64 << 10)

    @Option(help: ArgumentHelp("Serve by this RDMA device too.", valueName: "device"))
    var rdma: String?

    @Option(
        help: ArgumentHelp(
            "Serve by RDMA too, without a network card for it: on this network interface, by "
                + "the kernel's Soft-RoCE. memkvd makes the device when it starts.",
            valueName: "interface"))
    var softRoce: String?

    @Flag(help: "Format whatever the drives carry; it is gone then. Never a drive in use.")
    var force = false

    @Flag(
        help:
            "Print the configuration of a store that exists with these sizes; change nothing."
    )
    var idempotent = false

    func validate() throws {
        guard !drives.isEmpty else {
            throw ValidationError("name at least one path after --drives")
        }
        guard drives.count <= 64 else { throw ValidationError("a store has 64 drives at most") }
        guard rdma == nil || softRoce == nil else {
            throw ValidationError("--rdma names a device, --soft-roce has one made: give one")
        }
        guard !(force && idempotent) else {
            throw ValidationError("--force makes anew, --idempotent keeps: give one of them")
        }
    }

    func run() throws {
        let plan = try SetupPlan(
            paths: drives, maximumFileBytes: maxSize?.bytes, blockBytes: blockSize.bytes,
            minimumSlotBytes: minSlot.bytes, rdma: try remote())
        if let (path, other) = FileIdentity.firstPair(in: drives) {
            let names = path.utf8.elementsEqual(other.utf8) ? path : "\(path), also \(other),"
            throw CommandFailure(.usage, "\(names) is named twice after --drives")
        }
        // Before anything is formatted: the configuration must have a place to go.
        try LocalFiles.checkStandardOutput()
        try carryOut(plan)
        do throws(CommandFailure) {
            try LocalFiles.writeToStandardOutput(
                OwnedBytes(Array(plan.configurationYAML.utf8)).source)
        } catch {
            throw CommandFailure(
                error.status,
                "\(error.message); the drives are ready, and the same `memkv setup` with "
                    + "--idempotent instead of --force prints their configuration again")
        }
    }

    /// Refuses an interface that can have no Soft-RoCE device.
    private func remote() throws(CommandFailure) -> SetupRDMA? {
        if let rdma { return .device(rdma) }
        guard let softRoce else { return nil }
        #if Verbs
        if let obstacle = SoftRoCELink.obstacle(on: softRoce) {
            throw CommandFailure(.usage, "\(obstacle); nothing was changed")
        }
        return .softRoCE(softRoce)
        #else
        throw CommandFailure(
            .usage, "--soft-roce: this build has no RDMA, the package trait Verbs")
        #endif
    }

    #if IOUring
    private func carryOut(_ plan: SetupPlan) throws {
        let tables = SystemTables()
        let looks = try plan.drives.map { drive in try LookedAtDrive(drive, tables: tables) }
        let found = looks.map { SetupContent(load: $0.load, sizeBytes: $0.sizeBytes) }
        switch try plan.decide(found, force: force, idempotent: idempotent) {
        case .keep:
            Terminal.standardError("memkv: the store is there already; nothing was changed")
        case .format: try format(looks, plan)
        }
    }

    private func format(_ looks: [LookedAtDrive], _ plan: SetupPlan) throws {
        let formats = plan.newFormats()
        for (look, format) in zip(looks, formats) {
            if let problem = look.impossibility(of: format) {
                throw CommandFailure(
                    .refused, "\(look.drive.path): \(problem); nothing was changed")
            }
        }
        for (look, format) in zip(looks, formats) {
            try look.makeDrive(of: format)
            Terminal.standardError("memkv: \(look.drive.path) is formatted")
        }
    }
    #else
    private func carryOut(_ plan: SetupPlan) throws {
        throw CommandFailure(
            .refused,
            "this build can't format drives: it has no io_uring, the package trait IOUring of "
                + "builds on Linux")
    }
    #endif
}
