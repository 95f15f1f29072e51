// SocketTransport: the core's port on this machine's sockets and RDMA devices, and the wait for all
// of them at once.
//
// Always holds: used by one thread, except for the wake-up. `wait` looks at every stream that isn't
// closed, so that the core may step after it without asking who was ready.

internal import Wire

struct SocketTransport: ClientTransport {
    private var streams: [SocketStream] = []
    private let wakeUp: WakeUp
    #if Verbs
    typealias QueuePair = VerbsQueuePair
    private var pairs: [VerbsQueuePair] = []
    private let deviceNames: [String]
    private var attemptCount = 0
    #endif

    /// With the devices that `configuration` names; `wakeUp` ends a wait from another thread.
    init(_ configuration: ClientConfiguration, wakeUp: WakeUp = WakeUp()) {
        self.wakeUp = wakeUp
        #if Verbs
        deviceNames = configuration.remoteDevices
        #endif
    }

    mutating func open(to server: ServerAddress) -> SocketStream {
        let stream = SocketStream(to: server, wakeUp: wakeUp)
        streams.append(stream)
        return stream
    }

    mutating func drawNonce() -> Nonce {
        var generator = SystemRandomNumberGenerator()
        return Nonce(using: &generator)
    }

    #if Verbs
    func queuePairProblem() -> ConnectError? {
        do throws(ConnectError) {
            _ = try RemoteDevices.find(deviceNames)
            return nil
        } catch {
            return error
        }
    }

    /// Each attempt begins with the next device, so that several share the queue pairs.
    mutating func openQueuePair(_ offer: QueuePairOffer, keys: QueuePairKeys) -> VerbsQueuePair {
        let devices = (try? RemoteDevices.find(deviceNames)) ?? []
        let first = devices.isEmpty ? 0 : attemptCount % devices.count
        attemptCount += 1
        let pair = VerbsQueuePair(
            offer, keys: keys, devices: Array(devices[first...] + devices[..<first]))
        pairs.append(pair)
        return pair
    }
    #endif

    /// Waits until a stream or queue pair can go on, somebody wakes it, or `deadline`.
    mutating func wait(until deadline: MonotonicTime) {
        streams.removeAll { $0.isClosed }
        var waiting: [SocketStream] = []
        var entries = [
            PollEntry(descriptor: wakeUp.descriptor, forSending: false, forReceiving: true)
        ]
        for stream in streams {
            guard let entry = stream.interest else { continue }
            waiting.append(stream)
            entries.append(entry)
        }
        var deadline = deadline
        #if Verbs
        pairs.removeAll { $0.isClosed }
        for pair in pairs {
            if pair.prepareToWait() { deadline = Socket.now }
            entries += pair.interests
        }
        #endif
        guard PollEntry.wait(&entries, until: deadline) else { return }
        if entries[0].canReceive { wakeUp.drain() }
        for (stream, entry) in zip(waiting, entries.dropFirst()) { stream.note(entry) }
    }
}
