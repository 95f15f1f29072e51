// Blocks by leases: memkv moves the value by itself, by RDMA, from and to memory that the server
// leases. Refuses, saying so, where there is no RDMA, on either side or as memkv is built.

import ArgumentParser
import Client
import Wire

enum LeasedBlocks {
    static let flagHelp: ArgumentHelp =
        "Move the value by RDMA, from here, into or out of memory that the server leases."

    #if Verbs
    /// A client with leases of the server that has `key`.
    static func client(
        of key: BlockKey, by client: BlockingClient, _ settings: Settings
    ) throws(CommandFailure) -> LeaseClient {
        let server = settings.servers[client.placement.server(for: key).rawValue]
        do throws(ConnectError) {
            return try LeaseClient(
                to: server, key: settings.key, devices: settings.remoteDevices,
                deadline: settings.deadline)
        } catch {
            throw CommandFailure(error, server: server)
        }
    }
    #else
    static func client(
        of key: BlockKey, by client: BlockingClient, _ settings: Settings
    ) throws(CommandFailure) -> BlockingClient {
        throw CommandFailure(.usage, "--lease: this memkv is built without RDMA")
    }
    #endif
}
