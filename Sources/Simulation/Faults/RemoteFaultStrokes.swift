// What faults do to queue pairs and to clients that have some: the port's link, errors of single
// queue pairs, more requests than credits, writes that come too late, a death among them.

internal import Engine
internal import Sim

extension FaultDirector {
    func strikeRemote(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .portDown: setPort(isUp: false)
        case .queuePairError, .creditsExceeded: turnRemote(index)
        case .deathInRemoteWrite: world.clients[fault.client].doom(true)
        case .lateRemoteWrites: world.clients[fault.client].writeLate(percent: fault.amount)
        default: preconditionFailure("\(fault.name) isn't of queue pairs")
        }
    }

    private func setPort(isUp: Bool) {
        world.isRemotePortUp = isUp
        world.server.remote?.portChanged()
    }

    /// One queue pair more has an error, or one message too many.
    func turnRemote(_ index: Int) {
        let fault = faults[index]
        let isEvery = fault.plan.client == nil
        var pairs = (world.server.remote?.openPairs ?? []).filter {
            isEvery || $0.client == fault.client
        }
        if fault.choice == "in_transfer" {
            pairs = pairs.filter(\.isTransferring)
            guard !pairs.isEmpty else {
                // Its moment comes.
                world.schedule(.faultTurn(index), after: 20)
                return
            }
        }
        if !pairs.isEmpty {
            let pair = pairs[Int(below(UInt64(pairs.count), of: index))]
            if fault.name == .queuePairError {
                pair.fail()
            } else {
                pair.exceedCredits(by: 1 + Int(below(4, of: index)))
            }
        }
        world.schedule(.faultTurn(index), after: 1 + below(fault.amount * 2, of: index))
    }

    func healRemote(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .portDown:
            // Another one may still be.
            let others = faults.indices.filter { $0 != index && faults[$0].isActive }
            if !others.contains(where: { faults[$0].name == .portDown }) { setPort(isUp: true) }
        case .deathInRemoteWrite:
            world.clients[fault.client].doom(false)
            world.clients[fault.client].revive()
        case .lateRemoteWrites: world.clients[fault.client].writeLate(percent: 0)
        default: break
        }
    }
}
