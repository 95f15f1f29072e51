// SoftRoCELink: the rxe link on one network interface: found, or made, and removed at the end if it
// was made here.
//
// Always holds: a link that somebody else has made is used and never removed. One of ours has the
// name `memkv_` and the interface's; whoever has claimed the interface removes it. It is removed
// only when nobody has it open: removing waits for the last one, and a thread that waits there
// can't be killed. A link that a killed memkvd has left is taken over, since its claim ended with
// it.
//
// What rxe lacks is in Docs/rdma.md.

#if Verbs

package import RDMA
internal import Synchronization
package import Verbs

/// The link of one interface, as a daemon's device.
package final class SoftRoCELink: DeviceSource {
    private let interfaceName: String
    private let state = Mutex<State>(State())

    private struct State {
        var isNew = false
        /// Ours to remove.
        var claim: InterfaceClaim?
        /// The link last found, whose finding is told once.
        var link: RDMALink?
        var news: [String] = []
    }

    package static let driver = "rxe"

    package init(interface: String) { interfaceName = interface }

    /// The name of a link that memkvd makes.
    package static func name(on interface: String) -> String { "memkv_" + interface }

    /// Nil when a link can be made on an interface of that name, as far as can be told without
    /// trying.
    package static func obstacle(on interface: String) -> SoftRoCEProblem? {
        guard let found = NetworkInterface(interface) else {
            return .noSuchInterface(interface, existing: NetworkInterface.names)
        }
        return found.isVLAN ? .vlan(interface) : nil
    }

    // MARK: - A daemon's device

    package var interface: String? { interfaceName }

    package var isNew: Bool { state.withLock { $0.isNew } }

    package func prepare() throws(RDMAProblem) {
        do throws(SoftRoCEProblem) {
            try find()
        } catch {
            throw .softRoCE(error.description)
        }
    }

    package func choose(from devices: [RDMADevice]) throws(RDMAProblem) -> RDMADevice {
        guard let name = state.withLock({ $0.link?.name }) else {
            throw .softRoCE("Soft-RoCE: the link on \(interfaceName) is gone")
        }
        return try NamedDevice(name).choose(from: devices)
    }

    private func find() throws(SoftRoCEProblem) {
        state.withLock { $0.isNew = false }
        if let problem = Self.obstacle(on: interfaceName) { throw problem }
        if let link = try existing() {
            use(link)
            return
        }
        let name = Self.name(on: interfaceName)
        do throws(VerbsError) {
            try RDMALinks.make(name, type: Self.driver, on: interfaceName)
        } catch {
            // Somebody else was faster.
            if let link = try existing() {
                use(link)
                return
            }
            throw SoftRoCEProblem(
                error, link: name, interface: interfaceName,
                isVLAN: NetworkInterface(interfaceName)?.isVLAN ?? false)
        }
        guard let link = try existing() else {
            throw .failed("the link on \(interfaceName) is gone as soon as it was made")
        }
        state.withLock { state in
            state.isNew = true
            state.link = link
            state.claim = nil
            state.claim = NetworkInterface(interfaceName)?.claim()
            state.news.append(
                "made \(link.name) on \(interfaceName), which is removed when "
                    + (state.claim == nil ? "the last memkvd on it stops" : "memkvd stops"))
        }
    }

    /// The rxe link on the interface, whoever made it.
    private func existing() throws(SoftRoCEProblem) -> RDMALink? {
        do throws(VerbsError) {
            return try RDMALinks.all().first {
                RDMALinks.rxeInterface(of: $0) == interfaceName
            }
        } catch {
            throw SoftRoCEProblem(
                error, link: Self.name(on: interfaceName), interface: interfaceName,
                isVLAN: false)
        }
    }

    private func use(_ link: RDMALink) {
        state.withLock { state in
            // udev may have changed its name meanwhile.
            let isKnown = state.link?.index == link.index
            state.link = link
            if isKnown { return }
            state.claim = nil
            if link.name == Self.name(on: interfaceName) {
                state.claim = NetworkInterface(interfaceName)?.claim()
            }
            state.news.append(
                state.claim == nil
                    ? "uses \(link.name) on \(interfaceName), which somebody else has made and "
                        + "keeps"
                    : "took over \(link.name) on \(interfaceName) from a memkvd that didn't stop "
                        + "cleanly; it is removed when this one stops")
        }
    }

    // MARK: - The end

    package func finish() {
        guard let link = claimedLink() else { return }
        do throws(VerbsError) {
            guard let found = try RDMALinks.all().first(where: { $0.index == link.index }) else {
                return
            }
            let users = try RDMALinks.openCount(found)
            if users > 0 {
                tell("left \(found.name) on \(interfaceName): it is still open \(users) times")
                return
            }
            try RDMALinks.remove(found)
            tell("removed \(found.name) from \(interfaceName)")
        } catch {
            tell("left \(link.name) on \(interfaceName): \(error)")
        }
    }

    /// The link, if it is this memkvd's to remove: whoever made it may have stopped meanwhile.
    private func claimedLink() -> RDMALink? {
        state.withLock { state in
            guard let link = state.link else { return nil }
            if state.claim == nil, link.name == Self.name(on: interfaceName) {
                state.claim = NetworkInterface(interfaceName)?.claim()
            }
            return state.claim == nil ? nil : link
        }
    }

    private func tell(_ sentence: String) { state.withLock { $0.news.append(sentence) } }

    package func takeNews() -> [String] {
        state.withLock { state in
            defer { state.news = [] }
            return state.news
        }
    }
}

#endif
