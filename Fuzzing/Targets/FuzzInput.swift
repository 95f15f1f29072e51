// FuzzInput: the fuzzer's bytes, taken from the front; behind the end there are zeros.
//
// One of the files that may say `unsafe`.

/// One input.
@safe
struct FuzzInput {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    /// Valid as long as the call that was given the bytes.
    init(_ bytes: UnsafePointer<UInt8>?, count: Int) {
        unsafe self.bytes = UnsafeRawBufferPointer(start: bytes, count: count)
    }

    var isEmpty: Bool { unsafe position >= bytes.count }
    var count: Int { unsafe bytes.count - position }

    mutating func byte() -> UInt8 {
        guard unsafe position < bytes.count else { return 0 }
        defer { position += 1 }
        return unsafe bytes[position]
    }

    /// `count` bytes, little-endian.
    mutating func number(bytes count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(byte()) << UInt64($1 * 8) }
    }

    /// A number below `limit`.
    mutating func below(_ limit: Int) -> Int { Int(byte()) % limit }

    /// The next `count` bytes, fewer at the end.
    mutating func take(_ count: Int) -> [UInt8] {
        let end = unsafe min(bytes.count, position + count)
        defer { position = end }
        return unsafe [UInt8](bytes[position..<end])
    }
}
