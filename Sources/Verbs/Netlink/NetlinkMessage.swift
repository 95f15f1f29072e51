// NetlinkMessage: requests to the kernel over netlink, and its answers, as bytes.
//
// Source: netlink(7), linux/netlink.h. A message is a header of 16 bytes and attributes; an
// attribute is its length and type, 2 bytes each, and its value, filled up to a multiple of 4.
// Numbers are in the processor's order, which is little-endian wherever MemKV runs.
//
// Refuses an answer whose lengths don't fit its bytes.

#if Verbs

/// The value of an attribute.
package enum NetlinkValue: Hashable, Sendable {
    case number(UInt32)
    /// Sent with the zero that ends it.
    case text(String)

    var bytes: [UInt8] {
        switch self {
        case .number(let number): NetlinkBytes.of(number)
        case .text(let text): Array(text.utf8) + [0]
        }
    }
}

/// One request.
package struct NetlinkRequest: Hashable, Sendable {
    /// Who shall do what.
    package let type: UInt16
    /// All there are of something, as many answers.
    package let isDump: Bool
    package let attributes: [(type: UInt16, value: NetlinkValue)]

    package init(
        type: UInt16, isDump: Bool = false, attributes: [(type: UInt16, value: NetlinkValue)] = []
    ) {
        self.type = type
        self.isDump = isDump
        self.attributes = attributes
    }

    private static let isRequest: UInt16 = 0x001
    private static let wantsAcknowledgement: UInt16 = 0x004
    private static let wantsAll: UInt16 = 0x300

    package func bytes(sequence: UInt32) -> [UInt8] {
        var body: [UInt8] = []
        for (type, value) in attributes {
            let value = value.bytes
            body += NetlinkBytes.of(UInt16(4 + value.count)) + NetlinkBytes.of(type) + value
            body += [UInt8](repeating: 0, count: NetlinkBytes.padding(value.count))
        }
        let flags = Self.isRequest | (isDump ? Self.wantsAll : Self.wantsAcknowledgement)
        return NetlinkBytes.of(UInt32(NetlinkBytes.headerBytes + body.count))
            + NetlinkBytes.of(type) + NetlinkBytes.of(flags) + NetlinkBytes.of(sequence)
            + NetlinkBytes.of(UInt32(0)) + body
    }

    package static func == (left: NetlinkRequest, right: NetlinkRequest) -> Bool {
        left.bytes(sequence: 0) == right.bytes(sequence: 0)
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(bytes(sequence: 0)) }
}

/// One message of an answer.
package enum NetlinkAnswer: Hashable, Sendable {
    case attributes(NetlinkAttributes)
    /// The answer is complete; 0, or a positive errno.
    case end(Int32)

    private static let error: UInt16 = 2
    private static let done: UInt16 = 3

    /// The messages in `bytes` that answer request `sequence`; nil when they are none.
    package static func all(in bytes: [UInt8], sequence: UInt32) -> [NetlinkAnswer]? {
        var answers: [NetlinkAnswer] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            guard rest.count >= NetlinkBytes.headerBytes else { return nil }
            let length = Int(NetlinkBytes.number(rest, at: 0))
            guard length >= NetlinkBytes.headerBytes, length <= rest.count else { return nil }
            let message = rest.prefix(length)
            rest = rest.dropFirst(length + NetlinkBytes.padding(length))
            guard NetlinkBytes.number(message, at: 8) == sequence else { continue }
            let body = message.dropFirst(NetlinkBytes.headerBytes)
            switch UInt16(truncatingIfNeeded: NetlinkBytes.number(message, at: 4)) {
            case error:
                guard body.count >= 4 else { return nil }
                answers.append(.end(0 &- Int32(bitPattern: NetlinkBytes.number(body, at: 0))))
            case done:
                let code = body.count >= 4 ? NetlinkBytes.number(body, at: 0) : 0
                answers.append(.end(0 &- Int32(bitPattern: code)))
            default:
                guard let attributes = NetlinkAttributes(Array(body)) else { return nil }
                answers.append(.attributes(attributes))
            }
        }
        return answers
    }
}

/// Attributes in the order in which they came.
package struct NetlinkAttributes: Hashable, Sendable {
    private let values: [UInt16: [UInt8]]
    /// All values of one type: nested lists repeat it.
    private let list: [(type: UInt16, value: [UInt8])]

    /// The type's upper bits say how the value is written.
    private static let typeMask: UInt16 = 0x3FFF

    /// Nil when a length doesn't fit.
    package init?(_ bytes: [UInt8]) {
        var list: [(type: UInt16, value: [UInt8])] = []
        var rest = bytes[...]
        while rest.count >= 4 {
            let word = NetlinkBytes.number(rest, at: 0)
            let length = Int(word & 0xFFFF)
            guard length >= 4, length <= rest.count else { return nil }
            let type = UInt16(truncatingIfNeeded: word >> 16) & Self.typeMask
            list.append((type, Array(rest.prefix(length).dropFirst(4))))
            rest = rest.dropFirst(length + NetlinkBytes.padding(length))
        }
        guard rest.isEmpty else { return nil }
        self.list = list
        values = Dictionary(list.map { ($0.type, $0.value) }) { first, _ in first }
    }

    package func number(_ type: UInt16) -> UInt32? {
        guard let value = values[type], value.count >= 4 else { return nil }
        return NetlinkBytes.number(value[...], at: 0)
    }

    package func text(_ type: UInt16) -> String? {
        values[type].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    /// The attributes inside of each attribute of this type.
    package func nested(_ type: UInt16) -> [NetlinkAttributes] {
        list.filter { $0.type == type }.compactMap { NetlinkAttributes($0.value) }
    }

    package static func == (left: NetlinkAttributes, right: NetlinkAttributes) -> Bool {
        left.list.elementsEqual(right.list) { $0 == $1 }
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(values) }
}

/// Numbers as netlink writes them.
enum NetlinkBytes {
    static let headerBytes = 16

    static func of(_ number: UInt16) -> [UInt8] {
        [UInt8(truncatingIfNeeded: number), UInt8(truncatingIfNeeded: number >> 8)]
    }

    static func of(_ number: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    /// What follows `count` bytes up to a multiple of 4.
    static func padding(_ count: Int) -> Int { (4 - count % 4) % 4 }

    static func number(_ bytes: ArraySlice<UInt8>, at offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[bytes.startIndex + offset + $1]) << (8 * $1) }
    }
}

#endif
