// SimulatedStream: a connection in memory, byte by byte, that can be cut anywhere.

import Wire

@testable import Client

final class SimulatedStream: ClientStream {
    let server: Int
    private let network: SimulatedNetwork
    fileprivate(set) var progress = OpeningProgress.pending
    /// When the server accepts it, or nobody does; decided when it is opened.
    let opensAt: UInt64
    let outcome: OpeningProgress
    /// Bytes that the server has received and not yet made a request of.
    var arrived: [UInt8] = []
    /// Bytes on their way to the client.
    var coming: [UInt8] = []
    /// The connection breaks after this many more bytes in a direction; nil for never.
    var bytesToServerLeft: Int?
    var bytesToClientLeft: Int?
    private(set) var isBroken = false
    private(set) var isClosed = false

    init(to server: Int, of network: SimulatedNetwork, opensAt: UInt64, outcome: OpeningProgress) {
        self.server = server
        self.network = network
        self.opensAt = opensAt
        self.outcome = outcome
    }

    var opening: OpeningProgress {
        if progress == .pending, network.now >= opensAt { progress = outcome }
        return progress
    }

    /// Both ends see it end; what was coming is lost.
    func cut() {
        isBroken = true
        coming = []
        if progress == .pending { progress = .failed(.refused) }
    }

    func close() { isClosed = true }

    func send(_ bytes: SourceBytes, more: Bool) -> SocketProgress {
        if isBroken { return .failed("cut") }
        let room = SimulatedNetwork.bufferBytes - arrived.count
        guard room > 0 else { return .wouldBlock }
        var count = min(network.drawPiece(), bytes.count, room)
        if let left = bytesToServerLeft { count = min(count, left) }
        arrived += unsafe [UInt8](bytes.slice(from: 0, count: count).buffer)
        if bytesToServerLeft != nil {
            bytesToServerLeft! -= count
            if bytesToServerLeft! == 0 {
                network.serve(self)
                cut()
                if count == 0 { return .failed("cut") }
            }
        }
        network.serve(self)
        return .moved(count)
    }

    func receive(into bytes: DestinationBytes) -> SocketProgress {
        if coming.isEmpty { return isBroken ? .closed : .wouldBlock }
        var count = min(network.drawPiece(), bytes.count, coming.count)
        if let left = bytesToClientLeft { count = min(count, left) }
        for (index, byte) in coming.prefix(count).enumerated() {
            unsafe bytes.buffer[index] = byte
        }
        coming.removeFirst(count)
        if bytesToClientLeft != nil {
            bytesToClientLeft! -= count
            if bytesToClientLeft! == 0 {
                cut()
                if count == 0 { return .closed }
            }
        }
        return .moved(count)
    }
}
