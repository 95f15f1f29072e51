// The shape of /v1/status, as far as the table shows it, and the table.

import Settings

/// What `admin status` reads of a server's answer.
struct ServerStatus: Decodable {
    struct Memory: Decodable {
        let usedBytes: UInt64
        let totalBytes: UInt64
    }

    struct Storage: Decodable {
        let usableBytesTotal: UInt64
        let usedBytesTotal: UInt64
        let blockSizeBytes: UInt64
        let devices: [Device]
    }

    struct Device: Decodable {
        let deviceId: Int
        let path: String
        /// "online", "degraded", "offline", "absent" or "recovering"; older servers don't tell.
        let state: String?
        /// What is wrong with it; older servers don't tell.
        let causes: [String]?
        let usableBytes: UInt64
        let usedBytes: UInt64
    }

    struct RDMA: Decodable {
        let activeConnections: UInt64
        /// The following three are told where RDMA is configured.
        let active: Bool?
        let activeLeases: UInt64?
        let problems: [String]?
    }

    let memory: Memory
    let storage: Storage
    let rdma: RDMA?
    let blocksTotal: UInt64
    let blocksPersisted: UInt64
    let uptimeSeconds: UInt64
}

enum StatusTable {
    static func text(of status: ServerStatus, server: some CustomStringConvertible) -> String {
        let storage = status.storage
        var rows = [
            ["server", "\(server), up \(status.uptimeSeconds) s"],
            ["storage", fill(storage.usedBytesTotal, storage.usableBytesTotal)],
            ["memory", fill(status.memory.usedBytes, status.memory.totalBytes)],
            [
                "blocks",
                "\(status.blocksTotal), \(status.blocksPersisted) persisted, up to "
                    + "\(ByteSize(bytes: storage.blockSizeBytes).rounded) a slot",
            ],
        ]
        if let rdma = status.rdma, let isActive = rdma.active {
            rows.append(["rdma", Self.text(of: rdma, isActive: isActive)])
        }
        for device in storage.devices {
            rows.append([
                "drive \(device.deviceId)", fill(device.usedBytes, device.usableBytes),
                Self.state(of: device), device.path,
            ])
        }
        return aligned(rows)
    }

    private static func text(of rdma: ServerStatus.RDMA, isActive: Bool) -> String {
        let use = "\(rdma.activeConnections) connections, \(rdma.activeLeases ?? 0) leases"
        return ([isActive ? "active" : "not active", use] + (rdma.problems ?? []))
            .joined(separator: ", ")
    }

    private static func state(of device: ServerStatus.Device) -> String {
        let causes = (device.causes ?? []).joined(separator: ", ")
        return (device.state ?? "") + (causes.isEmpty ? "" : ": \(causes)")
    }

    /// used / usable and the share in percent.
    private static func fill(_ used: UInt64, _ usable: UInt64) -> String {
        let tenths = usable == 0 ? 0 : UInt64((Double(used) / Double(usable) * 1000).rounded())
        return "\(ByteSize(bytes: used).rounded) / \(ByteSize(bytes: usable).rounded)"
            + "  \(tenths / 10).\(tenths % 10) %"
    }

    /// Rows with their columns one below the other; a row may end early.
    static func aligned(_ rows: [[String]]) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.filter { $0.count > column + 1 }.map { $0[column].count }.max() ?? 0
        }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == row.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
