// LimitsDocument: the section `network.limits`, key by key, and how it becomes `SessionLimits`.
//
// Always holds: what isn't given has its default, or less where another limit that was given is
// lower. Refuses values out of range when it is read, and limits that contradict each other or the
// memory pool when it is resolved, naming the line of the one to change.

internal import Engine
internal import Schema

/// The limits that a configuration file gives; nil where it is silent.
struct LimitsDocument: Sendable {
    var sessions: Setting<Int>?
    var sessionsPerAddress: Setting<Int>?
    var requests: Setting<Int>?
    var requestsPerSession: Setting<Int>?
    var bytesPerSession: Setting<ByteCount>?
    var payloadSize: Setting<ByteCount>?
    var batchItems: Setting<Int>?
    var halfOpen: Setting<UInt64>?
    var header: Setting<UInt64>?
    var frame: Setting<UInt64>?
    var response: Setting<UInt64>?

    static let schema = SectionSchema(keys: [
        "sessions", "sessions_per_address", "requests", "requests_per_session", "bytes_per_session",
        "payload_size", "batch_items", "half_open_deadline", "header_deadline", "frame_deadline",
        "response_deadline",
    ])

    /// Nothing is said.
    init() {}

    init(_ section: DocumentSection) throws(ConfigurationError) {
        sessions = try section.number("sessions", in: 1...SessionLimits.mostSessions)
        sessionsPerAddress = try section.number(
            "sessions_per_address", in: 1...SessionLimits.mostSessions)
        requests = try section.number("requests", in: 1...SessionLimits.mostRequests)
        requestsPerSession = try section.number(
            "requests_per_session", in: 1...SessionLimits.mostRequests)
        bytesPerSession = try section.size("bytes_per_session")
        payloadSize = try section.size("payload_size")
        batchItems = try section.number("batch_items", in: 1...Int(SessionLimits().batchLimit))
        let range = SessionLimits.shortestMicroseconds...SessionLimits.longestMicroseconds
        halfOpen = try section.microseconds("half_open_deadline", in: range)
        header = try section.microseconds("header_deadline", in: range)
        frame = try section.microseconds("frame_deadline", in: range)
        response = try section.microseconds("response_deadline", in: range)
    }

    /// The limits, for a pool of `poolBytes` in slabs of `slabBytes`.
    func resolve(
        slabBytes: ByteCount, poolBytes: ByteCount
    ) throws(ConfigurationError) -> SessionLimits {
        var limits = SessionLimits()
        limits.sessions = sessions?.value ?? limits.sessions
        limits.sessionsPerAddress =
            sessionsPerAddress?.value ?? min(limits.sessionsPerAddress, limits.sessions)
        limits.requests = requests?.value ?? limits.requests
        limits.requestsPerSession =
            requestsPerSession?.value ?? min(limits.requestsPerSession, limits.requests)
        limits.payloadLimitBytes = try payloadBytes(limits.payloadLimitBytes)
        limits.bytesPerSession = try sessionBytes(limits, slabBytes, poolBytes)
        limits.batchLimit = UInt32(batchItems?.value ?? Int(limits.batchLimit))
        limits.halfOpenMicroseconds = halfOpen?.value ?? limits.halfOpenMicroseconds
        limits.headerMicroseconds = header?.value ?? limits.headerMicroseconds
        limits.frameMicroseconds = frame?.value ?? limits.frameMicroseconds
        limits.responseMicroseconds = response?.value ?? limits.responseMicroseconds
        guard let contradiction = limits.contradiction else { return limits }
        let culprit: Setting<Int>? =
            switch contradiction.field {
            case .sessionsPerAddress: sessionsPerAddress
            case .requestsPerSession: requestsPerSession
            case .bytesPerSession: nil
            }
        throw culprit?.refused(contradiction.problem)
            ?? ConfigurationError(
                origin: .standard, key: "network.limits", problem: contradiction.problem)
    }

    private func payloadBytes(_ standard: UInt32) throws(ConfigurationError) -> UInt32 {
        guard let payloadSize else { return standard }
        let range = SessionLimits.smallestPayloadBytes...UInt64(standard)
        guard range.contains(payloadSize.value.rawValue) else {
            throw payloadSize.refused(
                "\(ByteSize.format(payloadSize.value)) must lie between "
                    + "\(ByteSize.format(ByteCount(range.lowerBound))) and "
                    + ByteSize.format(ByteCount(range.upperBound)))
        }
        return UInt32(payloadSize.value.rawValue)
    }

    /// A quarter of the pool, or 64 MiB when that is less, or a payload when that is more.
    private func sessionBytes(
        _ limits: SessionLimits, _ slabBytes: ByteCount, _ poolBytes: ByteCount
    ) throws(ConfigurationError) -> UInt64 {
        let payload = ByteCount(UInt64(limits.payloadLimitBytes)).roundedUp(to: slabBytes)
        guard let bytesPerSession else {
            return max(min(limits.bytesPerSession, poolBytes.rawValue / 4), payload.rawValue)
        }
        if bytesPerSession.value < payload {
            throw bytesPerSession.refused(
                "\(ByteSize.format(bytesPerSession.value)) is less than the slabs of one payload "
                    + "of network.limits.payload_size, \(ByteSize.format(payload))")
        }
        if bytesPerSession.value > poolBytes {
            throw bytesPerSession.refused(
                "\(ByteSize.format(bytesPerSession.value)) is more than memory.max_size, "
                    + ByteSize.format(poolBytes))
        }
        return bytesPerSession.value.rawValue
    }
}
