// How a request ended. A status is the whole answer: data is valid with `ok` alone.

/// A request's outcome, as it stands in bytes 8–9 of a response's header and in batch responses.
package enum Status: UInt8, Error, Sendable, CaseIterable {
    case ok = 0
    /// A miss: never stored, deleted, evicted, expired, or in any doubt.
    case notFound = 1
    /// No space left, or none that may be used for a put; deletes still work.
    case noSpace = 2
    /// The frame or its body is not what the operation asks for.
    case invalidRequest = 3
    /// The frame's protocol version is higher than this side's.
    case unsupportedVersion = 4
    /// Value, batch or frame above a limit; the limits are in Connect's response.
    case tooLarge = 5
    /// The payload that arrived doesn't have the checksum that the header gives.
    case checksumMismatch = 6
    /// The deadline passed before anything was begun; nothing was changed.
    case deadlineExceeded = 7
    /// The deadline passed after the work was submitted, or a flush failed: done or not, nobody
    /// knows.
    case outcomeUnknown = 8
    /// The drives that the key could be on are absent or offline.
    case driveUnavailable = 9
    /// A fixed table or queue is full; nothing was changed, try again.
    case busy = 10
    /// The server is draining; nothing was changed.
    case shuttingDown = 11
    /// No key where one is asked for, an unknown one, a wrong proof, or a frame whose tag is wrong.
    case unauthenticated = 12
    /// The session's key doesn't open the request's namespace; nothing was changed.
    case forbidden = 13
    /// The store has room and the file system under the key's drive has none; nothing was changed.
    case fileSystemFull = 14
    /// The server doesn't do this at all, as it is built or configured.
    case unsupported = 15
    /// The server does this, and can't at present.
    case unavailable = 16
    /// No such lease of this queue pair: never granted, expired, committed or released; nothing was
    /// changed.
    case unknownLease = 17
}
