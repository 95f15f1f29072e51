// ForeignSignatures: what libblkid recognises on a device or in a file: file systems, swap, RAID
// members, encrypted volumes, partition tables.
//
// Always holds: looking changes nothing. One of the files that may say `unsafe`.

#if IOUring
import CBlkid
import Ring
#endif

/// Something that another program keeps on a drive.
struct ForeignSignature: Hashable, Encodable {
    /// "filesystem", "raid", "crypto", "other" or "partitions".
    let usage: String
    /// As libblkid calls it: "ext4", "swap", "LVM2_member", "gpt".
    let type: String
    let label: String

    /// "an ext4 file system labelled data".
    var sentence: String {
        let name = label.isEmpty ? "" : " labelled \(label)"
        switch usage {
        case "partitions": return "a partition table (\(type))"
        case "filesystem": return "a file system (\(type))\(name)"
        case "raid": return "a member of a volume (\(type))\(name)"
        case "crypto": return "an encrypted volume (\(type))\(name)"
        default: return "\(type)\(name)"
        }
    }
}

#if IOUring
extension ForeignSignature {
    private static let limit = 16

    /// What is on the drive at `path`, in no particular order.
    static func all(on path: String) throws(SystemError) -> [ForeignSignature] {
        var found = [memkv_signature](repeating: memkv_signature(), count: limit)
        let count = unsafe memkv_signatures(path, &found, CInt(limit))
        if count < 0 { throw SystemError(count) }
        return found.prefix(Int(count)).map { signature in
            ForeignSignature(
                usage: unsafe text(signature.usage), type: unsafe text(signature.type),
                label: unsafe text(signature.label))
        }
    }

    /// Removes them all; how many there were.
    @discardableResult
    static func wipe(_ path: String) throws(SystemError) -> Int {
        let count = unsafe memkv_wipe_signatures(path)
        if count < 0 { throw SystemError(count) }
        return Int(count)
    }

    /// A C array's text, which ends with a zero.
    @unsafe
    private static func text<Characters>(_ characters: Characters) -> String {
        unsafe withUnsafeBytes(of: characters) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}
#endif
