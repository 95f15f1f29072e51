// The frame's header: 64 bytes, little-endian, the same for requests and responses.
//
// Always holds: decoding believes no length beyond the caller's limits and no field beyond its
// table; the encoding of a decoded header is the same 64 bytes. The codec works on eight words, so
// it never touches memory: whoever owns the bytes loads and stores them.
//
//   byte  0  magic            u32  0x31564B4D ("MKV1")
//         4  version          u16
//         6  operation        u8   OperationCode
//         7  flags            u8   bit 0: response; bit 1: signed (tags are present)
//         8  status           u16  Status; 0 in a request
//        10  (zero)           u16
//        12  namespace        u32
//        16  request id       u64  chosen by the client, echoed
//        24  body length      u32
//        28  payload length   u32
//        32  payload checksum u64  XXH3-64
//        40  deadline         u32  microseconds left, 0 for none; 0 in a response
//        44  (zero)           u32
//        48  header tag       16 bytes, zero in an unsigned frame
//
// A signed frame's body, if it has one, is followed by its own 16-byte tag, and where the session
// tags payloads, a payload comes behind a tag of its own; no length counts them. What the tags are:
// Authentication/FrameAuthenticator.swift.

/// What is wrong with 64 bytes that should be a header.
package enum FrameError: Error, Hashable, Sendable {
    case notAFrame(magic: UInt32)
    case unsupportedVersion(UInt16)
    case unknownOperation(UInt8)
    case unknownFlags(UInt8)
    case unknownStatus(UInt16)
    case reservedNotZero
    case bodyTooLarge(lengthBytes: UInt32, limitBytes: UInt32)
    case payloadTooLarge(lengthBytes: UInt32, limitBytes: UInt32)
}

/// The lengths a side is willing to receive.
package struct FrameLimits: Hashable, Sendable {
    package var maximumBodyBytes: UInt32
    package var maximumPayloadBytes: UInt32

    package init(maximumBodyBytes: UInt32, maximumPayloadBytes: UInt32) {
        self.maximumBodyBytes = maximumBodyBytes
        self.maximumPayloadBytes = maximumPayloadBytes
    }

    #if PLANTED_BUGS
    /// A decoder that believes any length, for a fuzzer to find.
    package var areForgotten = false
    #endif

    fileprivate func admitBody(_ lengthBytes: UInt32) -> Bool {
        #if PLANTED_BUGS
        if areForgotten { return true }
        #endif
        return lengthBytes <= maximumBodyBytes
    }
}

/// A frame's header.
package struct FrameHeader: Hashable, Sendable {
    package static let byteCount = 64
    package static let wordCount = 8
    package static let magic: UInt32 = 0x3156_4B4D
    package static let version: UInt16 = 1
    static let responseFlag: UInt8 = 1 << 0
    static let signedFlag: UInt8 = 1 << 1

    package var operation: OperationCode
    package var isResponse: Bool
    package var isSigned: Bool
    package var status: Status
    package var namespace: Namespace
    package var requestID: UInt64
    package var bodyBytes: UInt32
    package var payloadBytes: UInt32
    package var payloadChecksum: UInt64
    /// Microseconds the sender still gives this request; 0 for no deadline.
    package var deadlineMicroseconds: UInt32

    package init(
        operation: OperationCode, isResponse: Bool = false, status: Status = .ok,
        namespace: Namespace = Namespace(0), requestID: UInt64, bodyBytes: UInt32 = 0,
        payloadBytes: UInt32 = 0, payloadChecksum: UInt64 = 0, deadlineMicroseconds: UInt32 = 0,
        isSigned: Bool = false
    ) {
        self.operation = operation
        self.isResponse = isResponse
        self.isSigned = isSigned
        self.status = status
        self.namespace = namespace
        self.requestID = requestID
        self.bodyBytes = bodyBytes
        self.payloadBytes = payloadBytes
        self.payloadChecksum = payloadChecksum
        self.deadlineMicroseconds = deadlineMicroseconds
    }

    /// Decodes eight little-endian words; refuses anything outside its table or `limits`.
    package init(words: InlineArray<8, UInt64>, limits: FrameLimits) throws(FrameError) {
        let magic = UInt32(truncatingIfNeeded: words[0])
        guard magic == Self.magic else { throw .notAFrame(magic: magic) }
        let version = UInt16(truncatingIfNeeded: words[0] >> 32)
        guard version >= 1, version <= Self.version else { throw .unsupportedVersion(version) }
        let operationByte = UInt8(truncatingIfNeeded: words[0] >> 48)
        guard let operation = OperationCode(rawValue: operationByte) else {
            throw .unknownOperation(operationByte)
        }
        let flags = UInt8(truncatingIfNeeded: words[0] >> 56)
        guard flags & ~(Self.responseFlag | Self.signedFlag) == 0 else {
            throw .unknownFlags(flags)
        }
        let statusBits = UInt16(truncatingIfNeeded: words[1])
        guard statusBits <= UInt16(UInt8.max),
            let status = Status(rawValue: UInt8(truncatingIfNeeded: statusBits))
        else { throw .unknownStatus(statusBits) }
        guard UInt16(truncatingIfNeeded: words[1] >> 16) == 0, words[5] >> 32 == 0 else {
            throw .reservedNotZero
        }
        let isSigned = flags & Self.signedFlag != 0
        guard isSigned || words[6] | words[7] == 0 else { throw .reservedNotZero }
        let bodyBytes = UInt32(truncatingIfNeeded: words[3])
        guard limits.admitBody(bodyBytes) else {
            throw .bodyTooLarge(lengthBytes: bodyBytes, limitBytes: limits.maximumBodyBytes)
        }
        let payloadBytes = UInt32(truncatingIfNeeded: words[3] >> 32)
        guard payloadBytes <= limits.maximumPayloadBytes else {
            throw .payloadTooLarge(
                lengthBytes: payloadBytes, limitBytes: limits.maximumPayloadBytes)
        }
        self.operation = operation
        self.isResponse = flags & Self.responseFlag != 0
        self.isSigned = isSigned
        self.status = status
        self.namespace = Namespace(UInt32(truncatingIfNeeded: words[1] >> 32))
        self.requestID = words[2]
        self.bodyBytes = bodyBytes
        self.payloadBytes = payloadBytes
        self.payloadChecksum = words[4]
        self.deadlineMicroseconds = UInt32(truncatingIfNeeded: words[5])
    }

    /// Bytes of the tags that stand between a frame's body and its payload.
    package func tagBytes(tagsPayloads: Bool) -> UInt32 {
        guard isSigned else { return 0 }
        let tags = (bodyBytes > 0 ? 1 : 0) + (tagsPayloads && payloadBytes > 0 ? 1 : 0)
        return UInt32(tags * FrameTag.byteCount)
    }

    /// The header as eight little-endian words, its tag zero.
    package var words: InlineArray<8, UInt64> {
        let flags =
            (isResponse ? Self.responseFlag : 0) | (isSigned ? Self.signedFlag : 0)
        return [
            UInt64(Self.magic) | UInt64(Self.version) << 32 | UInt64(operation.rawValue) << 48
                | UInt64(flags) << 56,
            UInt64(status.rawValue) | UInt64(namespace.rawValue) << 32,
            requestID,
            UInt64(bodyBytes) | UInt64(payloadBytes) << 32,
            payloadChecksum,
            UInt64(deadlineMicroseconds),
            0, 0,
        ]
    }
}
