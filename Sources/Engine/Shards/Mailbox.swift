// Mailbox: messages from one shard to one other, first in, first out, without a lock.
//
// Always holds: one thread sends and one receives; a message is either in the box or with its
// receiver; capacity is fixed, and the senders of this project rule an overflow out beforehand. The
// ring with one writer a cursor is Lamport's (TOPLAS 5(2), 1983).
//
// One of the files that may say `unsafe`.

private import Synchronization

/// One direction between two shards.
@safe
final class Mailbox<Message: Sendable>: @unchecked Sendable {
    // Sendable because a message's place is the sender's until `sent` has passed it, the receiver's
    // until `received` has.
    private let messages: UnsafeMutablePointer<Message>
    private let capacity: Int
    private let sent = Atomic<Int>(0)
    private let received = Atomic<Int>(0)

    init(capacity: Int) {
        self.capacity = capacity
        unsafe messages = .allocate(capacity: max(1, capacity))
    }

    deinit {
        while receive() != nil {}
        unsafe messages.deallocate()
    }

    var isEmpty: Bool {
        sent.load(ordering: .acquiring) == received.load(ordering: .relaxed)
    }

    /// Puts `message` in; traps when the box is full.
    func send(_ message: Message) {
        let place = sent.load(ordering: .relaxed)
        precondition(
            place - received.load(ordering: .acquiring) < capacity,
            "a mailbox of \(capacity) is full")
        unsafe (messages + place % capacity).initialize(to: message)
        sent.store(place + 1, ordering: .releasing)
    }

    /// The oldest message, or nil.
    func receive() -> Message? {
        let place = received.load(ordering: .relaxed)
        if place == sent.load(ordering: .acquiring) { return nil }
        let message = unsafe (messages + place % capacity).move()
        received.store(place + 1, ordering: .releasing)
        return message
    }
}
