// The mailbox between two threads: everything sent arrives, once and in order.

@testable import Engine
import Testing

@Suite struct MailboxTests {
    @Test func messagesArriveOnceAndInOrder() async {
        let box = Mailbox<UInt64>(capacity: 64)
        let credit = Mailbox<Bool>(capacity: 64)
        let count: UInt64 = 200_000
        async let sender: Void = Task.detached {
            var free = 64
            var next: UInt64 = 0
            while next < count {
                while credit.receive() != nil { free += 1 }
                if free == 0 {
                    await Task.yield()
                    continue
                }
                box.send(next)
                next += 1
                free -= 1
            }
        }.value
        var expected: UInt64 = 0
        while expected < count {
            guard let message = box.receive() else {
                await Task.yield()
                continue
            }
            if message != expected { break }
            expected += 1
            credit.send(true)
        }
        #expect(expected == count)
        if expected == count { await sender }
        #expect(box.isEmpty)
    }

    @Test func whatIsNotReceivedIsLetGo() {
        final class Witness: Sendable {}
        weak var witness: Witness?
        do {
            let box = Mailbox<Witness>(capacity: 2)
            let sent = Witness()
            witness = sent
            box.send(sent)
        }
        #expect(witness == nil)
    }

    @Test func aFullMailboxTraps() async {
        await #expect(processExitsWith: .failure) {
            let box = Mailbox<Int>(capacity: 1)
            box.send(1)
            box.send(2)
        }
    }
}
