// NetworkInterface: a network interface by its name, as sysfs shows it.
//
// Always holds: nothing is kept; every question is asked anew. Refuses what can be no name of one.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import Glibc

/// An interface that was there.
package struct NetworkInterface: Hashable, Sendable {
    package let name: String
    package let index: UInt32

    private static let directory = "/sys/class/net"

    /// Nil when there is none of that name.
    package init?(_ name: String) {
        guard Self.canBeName(name) else { return nil }
        let index = unsafe if_nametoindex(name)
        guard index > 0 else { return nil }
        self.name = name
        self.index = index
    }

    /// What the kernel accepts as a name: up to 15 bytes without blanks, slashes and colons.
    package static func canBeName(_ name: String) -> Bool {
        let bytes = name.utf8
        return !bytes.isEmpty && bytes.count < 16 && name != "." && name != ".."
            && bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x2F && $0 != 0x3A }
    }

    /// The names of all interfaces, in order.
    package static var names: [String] { SystemFiles.names(in: directory).sorted() }

    /// A VLAN on another interface.
    package var isVLAN: Bool {
        SystemFiles.text(of: "\(Self.directory)/\(name)/uevent")?
            .contains("DEVTYPE=vlan") ?? false
    }

    /// Bytes of its largest packet; nil when it is gone.
    package var packetBytes: Int? {
        SystemFiles.text(of: "\(Self.directory)/\(name)/mtu").flatMap { Int($0) }
    }

    /// Switched on, whatever its cable.
    package var isUp: Bool {
        guard let text = SystemFiles.text(of: "\(Self.directory)/\(name)/flags"),
            let flags = UInt32(text.dropFirst(2), radix: 16)
        else { return false }
        return flags & 1 == 1
    }

    /// Marks it as this process's, for its life; nil when another process has done so. Nothing but
    /// other callers of this is kept out.
    package func claim() -> InterfaceClaim? { InterfaceClaim("\(Self.directory)/\(name)") }
}

/// That an interface is this process's business. The kernel ends it with the process, however that
/// ends.
package final class InterfaceClaim: Sendable {
    private let descriptor: Int32

    fileprivate init?(_ path: String) {
        let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}

/// Small text files and directories of the kernel's.
enum SystemFiles {
    /// The text without its last line's end; nil when it can't be read.
    static func text(of path: String) -> String? {
        let file = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(file, &bytes, bytes.count)
        guard count >= 0 else { return nil }
        let text = bytes[..<count]
        return String(decoding: text.last == 0x0A ? text.dropLast() : text, as: UTF8.self)
    }

    static func names(in directory: String) -> [String] {
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

#endif
