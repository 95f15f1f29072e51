// What strangers do to the data port: floods of connections, frames that are malformed, cut short,
// forged or played again.
//
// Always holds: a stranger has what passed by on the wire and no key. Whatever it sends must change
// nothing: the judge knows nothing of it.

internal import Client
internal import Engine
internal import Sim
internal import Wire

extension FaultDirector {
    func attack(_ index: Int) {
        let fault = faults[index]
        switch fault.name {
        case .connectionFlood:
            for _ in 0..<fault.amount {
                attackers.append(world.network.open(from: -1, isHostile: true))
            }
        case .hostileFrames: turnAttack(index)
        default: preconditionFailure("\(fault.name) isn't an attack")
        }
    }

    /// One attempt more.
    func turnAttack(_ index: Int) {
        let fault = faults[index]
        guard fault.memory < fault.amount else { return }
        remember(fault.memory + 1, of: index)
        let kinds = ["malformed", "truncated", "forged", "replayed"]
        let kind =
            fault.choice == "any" || fault.choice.isEmpty
            ? kinds[Int(below(4, of: index))] : fault.choice
        world.schedule(
            .faultTurn(index), after: 1 + below(max(1, fault.lasts / fault.amount), of: index))
        if kind == "injected" {
            // Only signed sessions can tell: without keys, whoever is on the line is the client.
            if !world.server.plan.keys.isEmpty { world.network.inject() }
            return
        }
        let connection = world.network.open(from: -1, isHostile: true)
        connection.greeting = bytes(of: kind, index)
        connection.closesAfterGreeting = kind == "truncated"
        attackers.append(connection)
    }

    private func bytes(of kind: String, _ index: Int) -> [UInt8] {
        switch kind {
        case "malformed":
            return (0..<64 + below(200, of: index)).map { _ in UInt8(below(256, of: index)) }
        case "truncated":
            let whole = Self.bytes(connect()) + [UInt8](repeating: 0, count: 8)
            return Array(whole.prefix(1 + Int(below(UInt64(whole.count - 1), of: index))))
        case "forged": return forged(index)
        default:
            // What a client sent, from its first byte on: with a key, the proof doesn't fit the
            // server's new nonce; without one there is nothing to play again but reads.
            return world.server.plan.keys.isEmpty ? Self.bytes(connect()) : world.network.overheard
        }
    }

    private func connect() -> FrameHeader {
        FrameHeader(
            operation: .connect, requestID: 0, bodyBytes: BodyLayout.connectRequestBytes)
    }

    /// A header that claims what isn't so: a signature, a length, a response.
    private func forged(_ index: Int) -> [UInt8] {
        var header = FrameHeader(operation: .tcpDelete, requestID: 1, bodyBytes: 32)
        switch below(4, of: index) {
        case 0: header.isSigned = true
        case 1: header.bodyBytes = .max
        case 2: header.payloadBytes = .max
        default: header.isResponse = true
        }
        return Self.bytes(header) + [UInt8](repeating: 7, count: 64)
    }

    private static func bytes(_ header: FrameHeader) -> [UInt8] {
        let words = header.words
        return (0..<64).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64($0 % 8 * 8)) }
    }

    func endAttack(_ index: Int) {
        for connection in attackers where !connection.isClosed { connection.close() }
        attackers = []
    }
}
