// DriveLook: what a drive carries and who uses it.
//
// Always holds: looking writes nothing and makes nothing.

import Engine
#if IOUring
import IOUring
import Ring
#endif

/// What a drive carries.
enum DriveLoad: Hashable {
    case nothing
    case store(DriveFacts)
    case newerStore(version: UInt16)
    case olderStore(version: UInt16)
    case damagedStore
    case foreign([ForeignSignature])
    /// Bytes that nobody knows.
    case unknownData

    /// "a file system (ext4) labelled data": what `--force` would overwrite.
    var sentence: String {
        switch self {
        case .nothing: "nothing"
        case .store: "a store"
        case .newerStore(let version): "a store of a newer format (\(version))"
        case .olderStore(let version): "a store of an older format (\(version))"
        case .damagedStore: "a damaged store"
        case .foreign(let signatures):
            signatures.map(\.sentence).joined(separator: " and ")
        case .unknownData: "data that is no MemKV store"
        }
    }
}

#if IOUring
extension DriveLoad {
    /// Looks at the drive that `workbench` has open. A store's drive counts as a store, whatever
    /// else left its traces there.
    init(_ workbench: DriveWorkbench, path: String) throws(CommandFailure) {
        let isFile = workbench.geometry.mode == .file
        switch workbench.inspected.content() {
        case .store(let facts): self = .store(facts)
        case .newerStore(let version): self = .newerStore(version: version)
        case .olderStore(let version): self = .olderStore(version: version)
        case .damagedStore: self = .damagedStore
        case .empty, .foreign:
            let content = workbench.inspected.content()
            let signatures: [ForeignSignature]
            do throws(SystemError) {
                signatures = try ForeignSignature.all(on: path)
            } catch {
                throw CommandFailure(.usage, "\(path) can't be opened: \(error)")
            }
            if !signatures.isEmpty {
                self = .foreign(signatures)
            } else if content == .foreign, workbench.inspected.hasJournal() {
                self = .damagedStore
            } else if content == .foreign {
                self = .unknownData
            } else if isFile, try LocalFiles.hasData(path) {
                self = .unknownData
            } else {
                self = .nothing
            }
        }
    }
}

extension DriveDescription {
    /// The drive at `path`, which is there: a block device or a file.
    init(existing path: String) throws(CommandFailure) {
        switch LocalFiles.kind(of: path) {
        case .blockDevice: self = .direct(path: path)
        case .file: self = .file(path: path, createBytes: nil)
        case .nothing: throw CommandFailure(.usage, "\(path) isn't there")
        case .directory, .other:
            throw CommandFailure(.usage, "\(path) is neither a file nor a block device")
        }
    }
}

extension CommandFailure {
    /// A drive couldn't be opened or written.
    init(_ path: String, _ failure: DriveFailure) {
        let sentence = failure.description
        self.init(
            failure.kind == .unusable ? .usage : .refused,
            sentence.contains(path) ? sentence : "\(path): \(sentence)")
    }
}
#endif
