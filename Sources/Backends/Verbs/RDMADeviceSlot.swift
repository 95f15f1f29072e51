// RDMADeviceSlot: one device of the configuration, in use, on its way out, or missing.
//
//     missing ── attach ──▶ inUse ── leave ──▶ leaving ── every shard has released it ──▶ missing
//
// Always holds: only the control thread changes it; a device is let go of after all its connections
// and queues have ended, so that whoever takes it out needn't wait. A device whose registration
// failed is tried again after pauses that grow, with all others at every look.

#if Verbs

internal import Engine
internal import Synchronization
internal import Verbs

/// One configured device. Changed by the control thread, or before there is one.
final class RDMADeviceSlot: Sendable {
    /// What any thread may know.
    struct Outside: Sendable {
        /// Nil while there is no device.
        var name: String?
        /// Where it is listened.
        var addresses: [RDMAAddress] = []
        var packetBytes = 0
        var isPortActive = false
        var isListening = false
        /// Why there is no device.
        var problem: RDMAProblem?
        /// It has lost its addresses.
        var addressProblem: RDMAProblem?
        /// Why not all addresses are listened on.
        var listenProblem: RDMAProblem?

        var isUsable: Bool {
            isPortActive && isListening && problem == nil && addressProblem == nil
        }

        /// What keeps it from being whole. Nil only when it is usable.
        var impairment: RDMAProblem? {
            if let problem { return problem }
            if !isPortActive { return .portDown(device: name ?? "") }
            if let problem = addressProblem ?? listenProblem { return problem }
            return isListening ? nil : .failed(device: name ?? "", "nobody listens yet")
        }
    }

    private struct Inside {
        var end: RDMADeviceEnd?
        /// Shards that still have the device that is on its way out; 0 while it isn't.
        var holders = 0
        var nextAttempt: UInt64 = 0
        var pauseMilliseconds: UInt64 = 0
    }

    let source: any DeviceSource
    private let network: RDMAAddress
    private let outside: Mutex<Outside>
    private let inside = Mutex<Inside>(Inside())

    private static let longestPauseMilliseconds: UInt64 = 8000

    /// `network` is the server's own address.
    init(_ source: any DeviceSource, network: RDMAAddress) {
        self.source = source
        self.network = network
        outside = Mutex(Outside())
    }

    var facts: Outside { outside.withLock { $0 } }

    /// The device in use; nil while there is none, or it's on its way out.
    var end: RDMADeviceEnd? { inside.withLock { $0.holders == 0 ? $0.end : nil } }

    /// Of the device in use, or on its way out.
    var device: RDMADevice? { inside.withLock { $0.end?.device } }

    // MARK: - In

    /// Whether `attach` is due.
    func isDue(now: UInt64) -> Bool {
        inside.withLock { $0.end == nil && $0.nextAttempt <= now }
    }

    /// Tries to use a device of `devices`; true when it has one now.
    func attach(
        _ devices: [RDMADevice], arena: Arena, completions: Int, shardCount: Int, now: UInt64
    ) -> Bool {
        do throws(RDMAProblem) {
            let device = try source.choose(from: devices)
            let facts = try look(at: device)
            let end = try RDMADeviceEnd(
                device, attributes: facts.attributes, arena: arena, completions: completions,
                shardCount: shardCount)
            outside.withLock { $0 = facts.outside }
            inside.withLock { $0 = Inside(end: end) }
            return true
        } catch {
            fail(error, now: now)
            return false
        }
    }

    /// It can't be had now.
    func fail(_ problem: RDMAProblem, now: UInt64) {
        outside.withLock { facts in
            // That it is gone says more than that there is none.
            if case .removed = facts.problem, problem.isAbsence { return }
            facts = Outside(problem: problem)
        }
        inside.withLock { state in
            // Asking costs little; registering may cost a lot.
            switch problem {
            case .lockedMemory, .failed: break
            default: return
            }
            state.pauseMilliseconds = min(
                max(500, state.pauseMilliseconds * 2), Self.longestPauseMilliseconds)
            state.nextAttempt = now + state.pauseMilliseconds * 1_000_000
        }
    }

    private func look(
        at device: RDMADevice
    ) throws(RDMAProblem) -> (attributes: RDMAAttributes, outside: Outside) {
        let attributes: RDMAAttributes
        let found: [RDMAAddress]
        do throws(VerbsError) {
            attributes = try device.attributes()
            found = try device.addresses(
                on: source.interface.flatMap { NetworkInterface($0) })
        } catch {
            throw .failed(device: device.name, error.description)
        }
        if found.isEmpty { throw .noAddress(device: device.name, interface: source.interface) }
        return (
            attributes,
            Outside(
                name: device.name,
                addresses: ListeningAddresses.chosen(from: found, network: network),
                packetBytes: attributes.packetBytes, isPortActive: attributes.isPortActive)
        )
    }

    // MARK: - In use

    /// Looks at port and addresses anew.
    func look() {
        guard let end else { return }
        var found = facts
        do throws(RDMAProblem) {
            let now = try look(at: end.device)
            found.addresses = now.outside.addresses
            found.packetBytes = now.outside.packetBytes
            found.isPortActive = now.outside.isPortActive
            found.addressProblem = nil
        } catch {
            // While the interface is off it may have no address; those that it had come back.
            found.isPortActive = (try? end.device.attributes())?.isPortActive ?? false
            found.addressProblem = error
        }
        outside.withLock { $0 = found }
    }

    /// Whether somebody listens on an address at least, and what was wrong with another.
    func listens(_ isListening: Bool, problem: VerbsError?) {
        outside.withLock { facts in
            facts.isListening = isListening
            facts.listenProblem = problem.map {
                .failed(device: facts.name ?? "", $0.description)
            }
        }
    }

    // MARK: - Out

    /// It is to be taken out: `shardCount` shards must release it.
    func leave(shardCount: Int) {
        inside.withLock { $0.holders = shardCount }
        outside.withLock { facts in
            facts.problem = .removed(device: facts.name ?? "")
            facts.addresses = []
        }
    }

    /// A shard has released it; after the last one the device is let go of. True then.
    func released() -> Bool {
        let last = inside.withLock { state in
            precondition(state.holders > 0, "a device released that isn't on its way out")
            state.holders -= 1
            return state.holders == 0
        }
        if last { letGo() }
        return last
    }

    /// Ends the use of the device, whoever has it. No shard uses it, all connections have ended.
    func letGo() {
        // In two steps, so that everything of the device has ended with its owner.
        guard let device = endDevice() else { return }
        device.letGo()
        outside.withLock { $0.name = nil }
    }

    private func endDevice() -> RDMADevice? {
        guard let end = inside.withLock({ state in state.end.take() }) else { return nil }
        end.end()
        return end.device
    }
}

#endif
