// RDMADeviceEnd: one device as the daemon uses it: its protection domain, the arena registered
// there, and a completion queue for each shard.
//
// Always holds: the arena is registered without remote access. It ends when every shard has given
// it up, or none is left; then the device is let go of, so that it can be taken out. Refuses a
// device that can't have the arena registered or as long a queue, each with what to do.
//
// One of the files that may say `unsafe`.

#if Verbs

internal import Engine
internal import Verbs

/// One device in use. Immutable; shards keep to their own queue.
final class RDMADeviceEnd: Sendable {
    let device: RDMADevice
    let attributes: RDMAAttributes
    let domain: ProtectionDomain
    let memory: RegisteredMemory
    /// One for each shard.
    let queues: [CompletionQueue]

    init(
        _ device: RDMADevice, attributes: RDMAAttributes, arena: Arena, completions: Int,
        shardCount: Int
    ) throws(RDMAProblem) {
        self.device = device
        self.attributes = attributes
        guard completions <= attributes.completions else {
            throw .failed(
                device: device.name,
                "it has completion queues of \(attributes.completions) entries, and "
                    + "\(completions) are needed: lower rdma.queue_pairs")
        }
        do throws(VerbsError) {
            domain = try ProtectionDomain(device)
            var queues: [CompletionQueue] = []
            for _ in 0..<shardCount {
                queues.append(try CompletionQueue(device, capacity: completions))
            }
            self.queues = queues
        } catch {
            throw .failed(device: device.name, error.description)
        }
        let whole = ArenaRange(start: ArenaOffset(0), length: arena.length)
        do throws(VerbsError) {
            memory = unsafe try RegisteredMemory(arena.bytes(whole), in: domain, for: .none)
        } catch {
            throw error.isLockedMemory
                ? .lockedMemory(
                    device: device.name, bytes: arena.length,
                    limitBytes: LockedMemory.limitBytes)
                : .failed(device: device.name, error.description)
        }
    }

    /// Frees what may hold the device. All connections of it have ended, and no shard uses it.
    func end() {
        for queue in queues { queue.end() }
    }
}

#endif
