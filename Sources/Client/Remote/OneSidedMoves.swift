// OneSidedMoves: values that this side moves between its own memory and memory that a server has
// leased to it, by RDMA WRITE and READ; the server's program has no part in it.
//
// Always holds: no more is under way than the send queue was made for; memory stays registered
// until its last move has ended or the queue pair is destroyed. A move that fails is the queue
// pair's end, since the device makes it that.
//
// One of the files that may say `unsafe`: it hands places in the caller's memory to the device.

#if Verbs

internal import Verbs
internal import Wire

/// The moves under way on one queue pair.
struct OneSidedMoves {
    /// Most at once.
    static let limit = 8
    /// What all of them are called.
    static let workID = UInt64.max >> 1

    private(set) var count = 0
    private var registrations: [RegisteredMemory] = []

    var hasRoom: Bool { count < Self.limit }

    mutating func began(_ registration: RegisteredMemory) {
        count += 1
        registrations.append(registration)
    }

    /// The oldest one has ended: they end in their order.
    mutating func ended() {
        count -= 1
        registrations.removeFirst()
    }
}

extension VerbsQueuePair {
    /// Begins to write `memory` to a segment of a lease, or to fill it from there: as many bytes as
    /// the segment has. There must be room for a move.
    func move(_ memory: ValueMemory, _ segment: RemoteSegment) throws(SessionFailure) {
        precondition(moves.hasRoom, "more moves than the send queue holds")
        guard let connection, let device = route?.device, phase == .open else {
            throw .queuePair("it isn't open")
        }
        let kind: RDMAWork.Kind
        switch memory {
        case .source(let bytes):
            kind = .write
            precondition(bytes.count == Int(segment.lengthBytes), "a segment of another length")
        case .destination(let bytes):
            kind = .read
            precondition(bytes.count == Int(segment.lengthBytes), "a segment of another length")
        }
        do throws(VerbsError) {
            let (local, registration) = try device.register(memory)
            let work: InlineArray<1, RDMAWork> = [
                RDMAWork(
                    kind: kind, workID: OneSidedMoves.workID, isSignalled: true,
                    localAddress: local.address, localKey: registration.localKey,
                    lengthBytes: segment.lengthBytes, remoteAddress: segment.address,
                    remoteKey: segment.remoteKey)
            ]
            unsafe try connection.post(work, count: 1)
            moves.began(registration)
        } catch {
            throw .queuePair("\(error)")
        }
    }
}

#endif
