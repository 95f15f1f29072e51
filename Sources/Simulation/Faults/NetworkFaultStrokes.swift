// What faults do to the network and to clients: connections lost, partitions, a slow line, a client
// that dies or reads slowly.

internal import Engine
internal import Sim

extension FaultDirector {
    func strikeNetwork(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .connectionLoss: turnLoss(index)
        case .partition:
            world.network.links[fault.client].holdsToServer = fault.choice != "to_client"
            world.network.links[fault.client].holdsToClient = fault.choice != "to_server"
        case .slowNetwork:
            world.network.links[fault.client].latencyPercent = fault.amount * 100
        default: preconditionFailure("\(fault.name) isn't the network's")
        }
    }

    /// One connection more is lost.
    func turnLoss(_ index: Int) {
        let fault = faults[index]
        let client = fault.plan.client == nil ? -1 : fault.client
        if world.network.resetOne(of: client) { counts.connectionsLost += 1 }
        let pause = 1 + below(fault.amount * 2, of: index)
        world.schedule(.faultTurn(index), after: pause)
    }

    func healNetwork(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .partition:
            world.network.links[fault.client].holdsToServer = false
            world.network.links[fault.client].holdsToClient = false
            world.network.release(fault.client)
        case .slowNetwork: world.network.links[fault.client].latencyPercent = 100
        default: break
        }
    }

    // MARK: Clients

    func strikeClient(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .clientDeath:
            counts.clientDeaths += 1
            world.clients[fault.client].die()
        case .slowClient:
            world.network.links[fault.client].readAllowance = 0
            turnSlowClient(index)
        default: preconditionFailure("\(fault.name) isn't a client's")
        }
    }

    /// A slow client reads a little more.
    func turnSlowClient(_ index: Int) {
        let fault = faults[index]
        world.network.links[fault.client].readAllowance = Int(fault.amount)
        world.wake(fault.client)
        world.schedule(.faultTurn(index), after: 1000)
    }

    func healClient(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .clientDeath: world.clients[fault.client].revive()
        case .slowClient:
            world.network.links[fault.client].readAllowance = nil
            world.wake(fault.client)
        default: break
        }
    }
}
