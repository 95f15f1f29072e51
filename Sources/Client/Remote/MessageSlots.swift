// MessageSlots: the memory of a queue pair's messages: a place for each that may arrive, and for
// each that may be on its way out.
//
// Always holds: a place is the device's from its posting until its completion; the others aren't
// touched by the device. One of the files that may say `unsafe`: it posts places of its memory.

#if Verbs

internal import Verbs

struct MessageSlots {
    private let memory: OwnedBytes
    private let registration: RegisteredMemory
    private let slotBytes: Int
    /// Of the places to receive; as many to send stand behind them.
    let count: Int
    private var free: [Int]

    init(count: Int, messageBytes: Int, on device: RemoteDevice) throws(VerbsError) {
        slotBytes = (messageBytes + 63) / 64 * 64
        self.count = count
        memory = OwnedBytes(count: 2 * count * slotBytes)
        unsafe registration = try RegisteredMemory(
            memory.destination.buffer, in: device.domain, for: .none)
        free = Array((count..<2 * count).reversed())
    }

    var maySend: Bool { !free.isEmpty }

    /// Lets the next message arrive in place number `slot`.
    func receive(into slot: Int, by connection: RDMAConnection) throws(VerbsError) {
        let place = memory.destination.slice(from: slot * slotBytes, count: slotBytes)
        unsafe try connection.postReceive(
            into: place.buffer, localKey: registration.localKey, workID: UInt64(slot))
    }

    /// The message of `byteCount` bytes that has arrived in place number `slot`, as whole words.
    func words(in slot: Int, byteCount: Int) -> [UInt64] {
        (0..<byteCount / 8).map { memory.loadWord(at: slot * slotBytes + $0 * 8) }
    }

    /// Sends a message from a free place; there must be one.
    mutating func send(_ words: [UInt64], by connection: RDMAConnection) throws(VerbsError) {
        guard let slot = free.popLast() else { preconditionFailure("no place for a message") }
        precondition(words.count * 8 <= slotBytes, "a message longer than the server takes")
        memory.store(words: words, at: slot * slotBytes)
        let place = memory.source.slice(from: slot * slotBytes, count: words.count * 8)
        let address = unsafe UInt64(UInt(bitPattern: place.buffer.baseAddress))
        let work: InlineArray<1, RDMAWork> = [
            RDMAWork(
                kind: .send, workID: UInt64(slot), isSignalled: true, localAddress: address,
                localKey: registration.localKey, lengthBytes: UInt32(place.count))
        ]
        unsafe try connection.post(work, count: 1)
    }

    /// A message has left place number `slot`.
    mutating func sent(from slot: Int) { free.append(slot) }
}

#endif
