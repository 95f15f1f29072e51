// drive list: what could be a drive here and what each one carries. Looks and locks nothing, so it
// sees drives that a server has open, too.

#if IOUring

import ArgumentParser
import Engine
import IOUring
import Settings

struct DriveList: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "What drives there are and what they carry.",
        discussion: "Lists all block devices of this machine, or the devices and files named.")

    @OptionGroup var global: GlobalOptions
    @ParentCommand var root: Memkv
    @Argument(help: ArgumentHelp("Block devices, or files.", valueName: "path"))
    var paths: [String] = []

    func run() throws {
        let tables = SystemTables()
        let named = paths.isEmpty ? BlockDeviceEntry.all().map(\.path) : paths
        let drives = named.map { DriveListEntry(path: $0, tables: tables) }
        if global.json || root.global.json { return try Terminal.json(["drives": drives]) }
        Terminal.print(DriveListEntry.table(drives))
        // What was asked for by name must be readable; what was found only says that it isn't.
        if !paths.isEmpty, drives.contains(where: { $0.content == .unreadable }) {
            throw CommandFailure(.usage, "")
        }
    }
}

/// One drive of the list.
struct DriveListEntry: Encodable {
    enum Content: String, Encodable {
        case empty, store, foreign, data, unreadable
        case newerStore = "newer_store"
        case olderStore = "older_store"
        case damagedStore = "damaged_store"
    }

    struct Store: Encodable {
        let store: String
        let drive: String
        let members: Int
        let format: UInt16
        let blockSizeBytes: UInt32
        let minimumSlotBytes: UInt32
        let usableBytes: UInt64
        /// At the last checkpoint; null when the map can't be read.
        let usedBytes: UInt64?
        let blocks: UInt64

        enum CodingKeys: String, CodingKey {
            case store, drive, members, format, blocks
            case blockSizeBytes = "block_size_bytes"
            case minimumSlotBytes = "min_slot_bytes"
            case usableBytes = "usable_bytes"
            case usedBytes = "used_bytes"
        }
    }

    let path: String
    var sizeBytes: UInt64?
    var logicalBlockBytes: UInt32?
    var content = Content.unreadable
    var store: Store?
    var signatures: [ForeignSignature] = []
    var usedBy: [String] = []
    /// A server has it open, or another program that wants it for itself.
    var isInUse = false
    /// Why nothing is known.
    var problem: String?

    enum CodingKeys: String, CodingKey {
        case path, content, store, signatures, problem
        case sizeBytes = "size_bytes"
        case logicalBlockBytes = "logical_block_bytes"
        case usedBy = "used_by"
        case isInUse = "in_use"
    }

    init(path: String, tables: SystemTables) {
        self.path = path
        usedBy = tables.uses(of: path).map(\.description)
        do throws(CommandFailure) {
            try look()
        } catch {
            problem = error.message
        }
    }

    private mutating func look() throws(CommandFailure) {
        let description = try DriveDescription(existing: path)
        let workbench: DriveWorkbench
        do throws(DriveFailure) {
            workbench = try DriveWorkbench(
                description, access: .look,
                memory: InspectedDrive<IOUringDevice>.usageMemoryBytes)
        } catch {
            throw CommandFailure(path, error)
        }
        sizeBytes = workbench.geometry.capacity.rawValue
        logicalBlockBytes = workbench.geometry.logicalBlockBytes
        isInUse = workbench.isInUse || !usedBy.isEmpty
        switch try DriveLoad(workbench, path: path) {
        case .nothing: content = .empty
        case .newerStore: content = .newerStore
        case .olderStore: content = .olderStore
        case .damagedStore: content = .damagedStore
        case .unknownData: content = .data
        case .foreign(let found):
            content = .foreign
            signatures = found
        case .store(let facts):
            content = .store
            store = Store(
                store: "\(facts.storeID)", drive: "\(facts.driveID)", members: facts.memberCount,
                format: facts.formatVersion, blockSizeBytes: facts.blockSizeBytes,
                minimumSlotBytes: facts.minimumSlotBytes, usableBytes: facts.usableBytes,
                usedBytes: workbench.inspected.usedBytes(), blocks: facts.blockCount)
        }
    }

    /// For a person: a line for each drive, more for a store's.
    static func table(_ drives: [DriveListEntry]) -> String {
        if drives.isEmpty { return "no block devices" }
        let width = drives.map(\.path.count).max() ?? 0
        return drives.map { drive in
            let name = drive.path + String(repeating: " ", count: width - drive.path.count)
            return ([name] + drive.columns).joined(separator: "  ")
        }.joined(separator: "\n")
    }

    private var columns: [String] {
        guard let sizeBytes, let logicalBlockBytes else { return [description] }
        var size = ByteSize(bytes: sizeBytes).rounded
        size = String(repeating: " ", count: max(0, 10 - size.count)) + size
        var text = description
        if !usedBy.isEmpty { text += "; " + usedBy.joined(separator: ", ") }
        if isInUse, usedBy.isEmpty { text += "; in use" }
        return [size, "blocks of \(logicalBlockBytes)", text]
    }

    private var description: String {
        switch content {
        case .empty: return "empty"
        case .data: return "data that is no MemKV store"
        case .foreign: return signatures.map(\.sentence).joined(separator: " and ")
        case .newerStore: return "a MemKV store of a newer format"
        case .olderStore: return "a MemKV store of an older format"
        case .damagedStore: return "a MemKV store, both superblocks damaged"
        case .unreadable:
            let text = problem ?? "unreadable"
            return text.hasPrefix(path + " ") ? String(text.dropFirst(path.count + 1)) : text
        case .store:
            guard let store else { return "" }
            let used = store.usedBytes.map { ByteSize(bytes: $0).rounded } ?? "?"
            return "MemKV store \(store.store), drive \(store.drive), format \(store.format), "
                + "one of \(store.members), \(store.blocks) blocks, \(used) of "
                + "\(ByteSize(bytes: store.usableBytes).rounded) used at the last checkpoint"
        }
    }
}

#endif
