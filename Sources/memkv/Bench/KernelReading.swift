// KernelReading: the kernel's counters of client and servers at one moment.

import Client

/// The servers of a run, as the kernel knows them.
struct ObservedServers: Sendable {
    let processes: [Measured<Int32>]
    /// Paths of their drives, as they tell them.
    let drives: Measured<[String]>

    /// Sees what can be seen of running servers; a child of this program is known anyhow.
    init(
        _ addresses: [ServerAddress], child: Int32?, access: AdminAccess, deadline: MonotonicTime
    ) {
        processes = child.map { [.value($0)] } ?? addresses.map(ListeningProcess.find)
        drives = Self.drives(of: addresses, access: access, deadline: deadline)
    }

    private static func drives(
        of addresses: [ServerAddress], access: AdminAccess, deadline: MonotonicTime
    ) -> Measured<[String]> {
        var paths: [String] = []
        for address in addresses {
            guard let admin = address.admin,
                let answer = try? HTTPGet.perform(
                    "/v1/status", on: admin, by: access, deadline: deadline),
                let status = try? AdminAnswer(
                    server: address, statusCode: answer.statusCode, body: answer.body
                ).decoded(as: ServerStatus.self)
            else { return .notMeasured("\(address) doesn't tell its drives on its admin port") }
            paths += status.storage.devices.map(\.path)
        }
        return .value(paths)
    }

    /// A counter of all the servers' processes, together.
    func sum(_ counter: (Int32) -> Measured<UInt64>) -> Measured<UInt64> {
        Measured.sum(
            processes.map { process in
                switch process {
                case .value(let process): counter(process)
                case .notMeasured(let reason): .notMeasured(reason)
                }
            })
    }
}

struct KernelReading: Sendable {
    let clientProcessor: Measured<UInt64>
    let serverProcessor: Measured<UInt64>
    let writtenBytes: Measured<UInt64>
    let flushes: Measured<UInt64>

    init(_ servers: ObservedServers, client: Int32) {
        clientProcessor = ProcessCounters.processorNanoseconds(of: client)
        serverProcessor = servers.sum(ProcessCounters.processorNanoseconds(of:))
        writtenBytes = servers.sum(ProcessCounters.writtenBytes(by:))
        flushes = DriveCounters.flushes(of: servers.drives)
    }

    init(
        clientProcessor: Measured<UInt64>, serverProcessor: Measured<UInt64>,
        writtenBytes: Measured<UInt64>, flushes: Measured<UInt64>
    ) {
        self.clientProcessor = clientProcessor
        self.serverProcessor = serverProcessor
        self.writtenBytes = writtenBytes
        self.flushes = flushes
    }

    /// What has been counted since `earlier`.
    func since(_ earlier: KernelReading) -> KernelReading {
        KernelReading(
            clientProcessor: clientProcessor.since(earlier.clientProcessor),
            serverProcessor: serverProcessor.since(earlier.serverProcessor),
            writtenBytes: writtenBytes.since(earlier.writtenBytes),
            flushes: flushes.since(earlier.flushes))
    }

    /// What was counted in this phase and in another one.
    func adding(_ other: KernelReading) -> KernelReading {
        KernelReading(
            clientProcessor: .sum([clientProcessor, other.clientProcessor]),
            serverProcessor: .sum([serverProcessor, other.serverProcessor]),
            writtenBytes: .sum([writtenBytes, other.writtenBytes]),
            flushes: .sum([flushes, other.flushes]))
    }
}
