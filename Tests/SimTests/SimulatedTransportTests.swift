// The simulated transport: whole requests in, each answered once, payloads copied out, leases given
// back.

import Engine
import Sim
import Testing
import Wire

@Suite struct SimulatedTransportTests {
    private final class Desk {
        let memory = SimulatedMemory(length: ByteCount(1 << 20))
        let world = SimulatedWorld()
        let pool: SlabPool
        let transport: SimulatedTransport
        var replies: [Reply] = []

        init(capacity: Int = 2) {
            var planner = ArenaPlanner(length: ByteCount(1 << 20))
            let bodies = planner.take(SimulatedTransport.memory(capacity: capacity))!
            pool = SlabPool(
                arena: memory.arena, region: planner.take(ByteCount(64 << 10))!,
                slabBytes: ByteCount(16 << 10))
            transport = SimulatedTransport(
                world: world, pool: pool, memory: bodies, capacity: capacity)
            transport.replyObserver = { [unowned self] in replies.append($0) }
        }
    }

    private let key = BlockKey(namespace: Namespace(3), words: (1, 2, 3, 4))
    private let value = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    @Test func aRequestArrivesWholeAndIsAnsweredOnce() throws {
        let desk = Desk()
        let number = try #require(desk.transport.send(RequestOrder(.tcpPut, key, payload: value)))
        let request = try #require(desk.transport.nextRequest(now: desk.world.now))
        #expect(desk.memory.arena.loadKey(request.body.start, namespace: request.namespace) == key)
        #expect(request.payloadBytes == 40_000)
        #expect(desk.pool.freeSlabs == 1)
        do {
            let taken = desk.transport.takePayload(of: request.handle)
            guard let lease = taken else {
                Issue.record("no payload")
                return
            }
            #expect(lease.copyOut(count: 40_000) == value)
        }
        #expect(desk.pool.freeSlabs == 4)
        let isGone = desk.transport.takePayload(of: request.handle) == nil
        #expect(isGone)
        desk.memory.arena.storeWord(77, at: request.responseBody.start)
        desk.transport.respond(
            to: request.handle, with: Response(status: .noSpace, bodyBytes: 8), payload: nil)
        #expect(desk.replies.map(\.request) == [number])
        #expect(desk.replies[0].status == .noSpace)
        #expect(desk.replies[0].bodyWords == [77])
        #expect(desk.transport.unansweredCount == 0)
    }

    @Test func aReplysPayloadIsCopiedOutAndVerified() throws {
        let desk = Desk()
        for flaw in [UInt64(0), 1] {
            _ = desk.transport.send(RequestOrder(.tcpGet, key))
            let request = try #require(desk.transport.nextRequest(now: desk.world.now))
            guard let lease = desk.pool.lease(lengthBytes: ByteCount(value.count)) else {
                Issue.record("no lease")
                return
            }
            lease.copyIn(value)
            var streaming = StreamingChecksum()
            let checksum = lease.checksum(length: ByteCount(value.count), using: &streaming)
            desk.transport.respond(
                to: request.handle,
                with: Response(
                    status: .ok, payloadBytes: UInt32(value.count), payloadChecksum: checksum ^ flaw
                ),
                payload: lease)
        }
        #expect(desk.replies.map(\.payload) == [value, value])
        #expect(desk.replies.map(\.isPayloadWhole) == [true, false])
        #expect(desk.pool.freeSlabs == 4)
    }

    @Test func capacityAndSlabsAreTheBackpressure() {
        let desk = Desk(capacity: 2)
        let large = [UInt8](repeating: 1, count: 64 << 10)
        #expect(desk.transport.send(RequestOrder(.tcpPut, key, payload: large)) != nil)
        #expect(desk.transport.send(RequestOrder(.tcpPut, key, payload: [1])) == nil)
        #expect(desk.transport.send(RequestOrder(.tcpGet, key)) != nil)
        #expect(desk.transport.send(RequestOrder(.tcpGet, key)) == nil)
    }

    @Test func aClosedSessionsReplyGoesNowhere() throws {
        let desk = Desk()
        var order = RequestOrder(.tcpGet, key)
        order.session = 5
        _ = desk.transport.send(order)
        desk.transport.closeSession(5)
        let request = try #require(desk.transport.nextRequest(now: desk.world.now))
        desk.transport.respond(
            to: request.handle, with: Response(status: .notFound), payload: nil)
        #expect(desk.replies.isEmpty)
        #expect(desk.transport.droppedReplies == 1)
    }

    @Test func answeringTwiceTraps() async {
        await #expect(processExitsWith: .failure) {
            let desk = Desk()
            _ = desk.transport.send(
                RequestOrder(.tcpGet, BlockKey(namespace: Namespace(0), words: (0, 0, 0, 1))))
            guard let request = desk.transport.nextRequest(now: desk.world.now) else { return }
            for _ in 0..<2 {
                desk.transport.respond(
                    to: request.handle, with: Response(status: .notFound), payload: nil)
            }
        }
    }
}
