// AdminConnections: which connections the admin endpoint has, and which one goes when there is one
// too many.
//
// Always holds: whoever comes is let in; beyond the limit, the connection that has asked nothing
// for longest is closed, so that connections that ask nothing keep no prober from asking. A request
// counts when its header is whole.

internal import NIOCore
internal import Synchronization

/// The connections that are open. Any thread.
final class AdminConnections: Sendable {
    private struct Connection {
        let channel: any Channel
        /// The number of its last request among all requests and arrivals.
        var lastEvent: UInt64
    }

    private struct State {
        var events: UInt64 = 0
        var open: [ObjectIdentifier: Connection] = [:]
    }

    private let limit: Int
    private let state = Mutex<State>(State())

    init(limit: Int) {
        precondition(limit > 0, "no connections")
        self.limit = limit
    }

    /// To be put into the pipeline of a new connection, behind the HTTP decoder.
    func watch() -> any RemovableChannelHandler { ConnectionWatch(self) }

    fileprivate func note(_ channel: any Channel) {
        let silent = state.withLock { state -> (any Channel)? in
            state.events += 1
            state.open[ObjectIdentifier(channel)] = Connection(
                channel: channel, lastEvent: state.events)
            guard state.open.count > limit,
                let silent = state.open.min(by: { $0.value.lastEvent < $1.value.lastEvent })
            else { return nil }
            state.open[silent.key] = nil
            return silent.value.channel
        }
        silent?.close(promise: nil)
    }

    fileprivate func forget(_ channel: any Channel) {
        state.withLock { $0.open[ObjectIdentifier(channel)] = nil }
    }
}

/// Tells of one connection; passes everything on.
private final class ConnectionWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = Any

    private let connections: AdminConnections

    init(_ connections: AdminConnections) { self.connections = connections }

    func channelActive(context: ChannelHandlerContext) {
        connections.note(context.channel)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connections.note(context.channel)
        context.fireChannelRead(data)
    }

    func channelInactive(context: ChannelHandlerContext) {
        connections.forget(context.channel)
        context.fireChannelInactive()
    }
}
