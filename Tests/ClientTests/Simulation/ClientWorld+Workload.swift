// A random workload over a ClientWorld's servers, and servers that come and go under it.

import Wire

@testable import Client

extension ClientWorld {
    /// Requests of every kind over `microseconds`, at random moments.
    func load(requests: Int, over microseconds: UInt64) {
        var known: [BlockKey] = []
        for _ in 0..<200 {
            let key = newKey()
            let value = pattern(50, seed: generator.next())
            server(of: key).table[key] = .init(value: value, version: 1)
            server(of: key).applied[key] = [value: 1]
            known.append(key)
        }
        // What is deleted once, each.
        var doomed: [BlockKey] = (0..<300).map { _ in newKey() }
        for key in doomed { server(of: key).table[key] = .init(value: [1], version: 1) }
        for _ in 0..<requests {
            let moment = UInt64.random(in: 0...microseconds, using: &generator)
            network.at(network.now + moment * 1000) {
                self.submitOne(known: known, doomed: &doomed)
            }
        }
        run(microseconds: microseconds + 1)
        finish()
        // What is still on its way may arrive late: the verdict counts it.
        network.advance(to: network.time.advanced(byMicroseconds: 10_000_000))
    }

    private func submitOne(
        known: [BlockKey], doomed: inout [BlockKey]
    ) {
        let within = UInt64.random(in: 1000...400_000, using: &generator)
        let policy = RequestPolicy(
            downServer: Bool.random(using: &generator) ? .answerAtOnce : .waitUntilDeadline,
            putsMayBeRepeated: Bool.random(using: &generator))
        let count = Int.random(in: 1...20, using: &generator)
        func randomKey() -> BlockKey { known.randomElement(using: &generator)! }
        func get() -> (GetItem, OwnedBytes) {
            let memory = OwnedBytes(count: ClientWorld.memoryBytes)
            return (GetItem(key: randomKey(), destination: memory.destination), memory)
        }
        func put() -> (PutItem, [UInt8]) {
            let isLarge = Int.random(in: 0..<40, using: &generator) == 0
            let length = Int.random(in: 8...(isLarge ? 60_000 : 500), using: &generator)
            let value = pattern(length, seed: generator.next())
            return (PutItem(key: randomKey(), value: OwnedBytes(value).source), value)
        }
        switch Int.random(in: 0..<8, using: &generator) {
        case 0:
            let (item, value) = put()
            submit(.put(item), within: within, policy: policy, values: [value])
        case 1:
            let (item, memory) = get()
            submit(.get(item), within: within, policy: policy, memories: [memory])
        case 2: submit(.stat(randomKey()), within: within, policy: policy)
        case 3:
            let keys = (0..<count).map { _ in randomKey() }
            submit(.exists(keys), within: within, policy: policy)
        case 4:
            let puts = (0..<count).map { _ in put() }
            submit(
                .putBatch(puts.map(\.0)), within: within, policy: policy, values: puts.map(\.1))
        case 5:
            let gets = (0..<count).map { _ in get() }
            submit(
                .getBatch(gets.map(\.0)), within: within, policy: policy, memories: gets.map(\.1))
        case 6:
            guard let key = doomed.popLast() else { return }
            submit(.delete(key), within: within, policy: policy)
        default:
            let keys = doomed.suffix(min(count, 5))
            doomed.removeLast(keys.count)
            guard !keys.isEmpty else { return }
            submit(.deleteBatch(Array(keys)), within: within, policy: policy)
        }
    }

    /// Servers that go and come, fall silent and speak again.
    func plan(over microseconds: UInt64) {
        let modes: [SimulatedServer.Mode] = [.down, .mute, .muteAfterConnect, .serving, .serving]
        for number in 0..<3 {
            for _ in 0..<4 {
                let moment = UInt64.random(in: 0...microseconds, using: &generator)
                let mode = modes.randomElement(using: &generator)!
                network.at(network.now + moment * 1000) {
                    self.network.change(number, to: mode)
                }
            }
        }
    }
}
