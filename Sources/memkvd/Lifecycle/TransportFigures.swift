// TransportFigures: the TCP transports' counters as the admin endpoint shows them.
//
// Always holds: every counter that ends or refuses a client is among the refusals.

#if IOUring

internal import Admin
internal import IOUring

extension TransportReading {
    /// The sums over the shards' TCP transports.
    init(tcp counters: [TransportCounters]) {
        func sum(_ counter: TransportCounter) -> UInt64 {
            counters.reduce(0) { $0 + $1.value(counter) }
        }
        self.init(
            name: "tcp", connectRequests: sum(.connectRequests),
            sessionsActive: sum(.activeConnections), sessions: sum(.acceptedConnections),
            receivedBytes: sum(.bytesReceived), sentBytes: sum(.bytesSent),
            malformedRequests: sum(.refusedNotAFrame) + sum(.refusedUnsupportedVersion)
                + sum(.refusedInvalid) + sum(.refusedTooLarge),
            authenticationFailures: sum(.failedAuthentications) + sum(.forgedFrames),
            refusals: TransportCounter.allCases.filter(\.isRefusal).map {
                ($0.wordsWithUnderscores, sum($0))
            })
    }
}

extension TransportCounter {
    /// `refusedAddresses` as logs and metrics write it: `refused_addresses`.
    var wordsWithUnderscores: String { "\(self)".withUnderscores }
}

extension String {
    /// `refusedAddresses` as logs and metrics write it: `refused_addresses`.
    var withUnderscores: String {
        reduce(into: "") { name, letter in
            name += letter.isUppercase ? "_" + letter.lowercased() : String(letter)
        }
    }
}

#endif
