// recovery: a whole engine recovers a drive that the input has damaged, then answers for every key.
//
// Always holds, or the run traps: recovery ends, serving or refusing; every request is answered; a
// value that is served has its checksum, and, unless the input also mended the checksums that keep
// such damage out, is one that was put under its key.
//
//   input   [image: low three bits, newest completion first: bit 3, changes afterwards: bit 4,
//            checksums mended: bit 5]
//           [change: low three bits, extent: the others][its arguments]…

import Wire

@testable import Engine

enum RecoveryTarget {
    private static let plantedBug = environment("MEMKV_FUZZ_PLANT").flatMap(
        PlantedBug.init(rawValue:))

    static func run(_ input: inout FuzzInput) {
        let choice = input.byte()
        let image = FuzzImage.all[Int(choice & 7) % FuzzImage.all.count]
        let isMended = choice & 32 != 0
        let device = image.device
        device.isNewestFirst = choice & 8 != 0
        var changes = 0
        while !input.isEmpty, changes < 64 {
            image.damage(&input)
            changes += 1
        }
        if isMended { image.mend() }
        var store = FuzzStore(device, plantedBug: plantedBug)
        if store.recover() {
            ask(&store, isMended: isMended)
            if choice & 16 != 0 { change(&store, isMended: isMended) }
            store.settle()
        }
        device.restore()
    }

    private static func ask(_ store: inout FuzzStore, isMended: Bool) {
        for number in 0..<FuzzImage.keyCount {
            let key = FuzzImage.key(number)
            let reply = store.request(.tcpGet, key)
            _ = store.request(.stat, key)
            guard reply.status == .ok, !isMended else { continue }
            precondition(
                FuzzImage.wasPut(reply.payload, under: number), "a value nobody put there")
        }
    }

    /// What a store does after its recovery.
    private static func change(_ store: inout FuzzStore, isMended: Bool) {
        for number in stride(from: 0, to: FuzzImage.keyCount, by: 3) {
            _ = store.request(.tcpDelete, FuzzImage.key(number))
            _ = store.request(
                .tcpPut, FuzzImage.key(number + 1),
                payload: FuzzImage.value(number + 1, turn: 3))
        }
        store.checkpoint()
        ask(&store, isMended: isMended)
        store.drain()
    }
}
