// What a TCP session has to do with RDMA: it asks for queue pairs, and its end is theirs. How
// queue pairs are made is another transport's business.

#if IOUring

package import Engine
package import Wire

/// Names a session of a shard's TCP transport for as long as that lives.
package struct TCPSessionName: Hashable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// What gives queue pairs to TCP sessions. Lives on the shard's thread.
package protocol QueuePairOffering: AnyObject {
    /// The status and the body of RdmaOpen's answer. `secret` is what the queue pair's keys follow
    /// from; nil for a session without a key.
    func openQueuePair(
        for session: TCPSessionName, secret: Secret?, tagsPayloads: Bool, now: Instant
    ) -> (status: Status, body: [UInt64])

    /// The session is gone, and so must be its queue pairs.
    func sessionEnded(_ session: TCPSessionName)
}

extension TCPTransport {
    private static var indexBits: UInt64 { 16 }

    func name(of session: Int) -> TCPSessionName {
        TCPSessionName(connections[session].serial << Self.indexBits | UInt64(session))
    }

    /// Whether a session's key opens a namespace, as the keys are now; never when it is gone.
    package func mayUse(_ namespace: Namespace, _ name: TCPSessionName) -> Bool {
        let session = Int(name.rawValue & (1 << Self.indexBits - 1))
        return connections[session].descriptor >= 0
            && connections[session].serial == name.rawValue >> Self.indexBits
            && connections[session].machine.state != .closed && mayUse(namespace, session)
    }

    /// Answers RdmaOpen; false for every other request, and where there is no RDMA.
    func offersQueuePair(_ entry: Int, now: Instant) -> Bool {
        let header = entries[entry].header
        guard header.operation == .rdmaOpen, header.bodyBytes == 0, header.payloadBytes == 0,
            let queuePairs
        else { return false }
        let session = entries[entry].session
        let secret = authentications[session]?.queuePairs
        let tagsPayloads = authentications[session]?.tagsPayloads ?? false
        let (status, words) = queuePairs.openQueuePair(
            for: name(of: session), secret: secret, tagsPayloads: tagsPayloads, now: now)
        let body = memory.responseBody(entry).start
        for (index, word) in words.enumerated() {
            arena.storeWord(word, at: body.advanced(by: UInt64(index) * 8))
        }
        answer(
            entry,
            FrameHeader(
                operation: .rdmaOpen, isResponse: true, status: status,
                namespace: header.namespace, requestID: header.requestID,
                bodyBytes: UInt32(words.count * 8)))
        return true
    }
}

#endif
