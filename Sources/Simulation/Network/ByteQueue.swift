// ByteQueue: bytes in order, put in at the end and taken from the front: one direction of a
// simulated connection.
//
// Always holds: what is taken is what was put, each byte once.
//
// One of the files that may say `unsafe`.

internal import Client
internal import Engine
internal import Judgement
internal import Wire

/// Bytes in order.
struct ByteQueue {
    private var bytes: [UInt8] = []
    private var start = 0

    var count: Int { bytes.count - start }

    // MARK: In

    mutating func append(_ source: SourceBytes) {
        unsafe bytes.append(contentsOf: source.buffer)
    }

    mutating func append(_ arena: Arena, _ range: ArenaRange) {
        unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(arena.bytes(range)))
    }

    mutating func append(_ more: [UInt8]) { bytes.append(contentsOf: more) }

    mutating func append(_ words: InlineArray<8, UInt64>) {
        for index in 0..<8 {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: words[index] >> shift))
            }
        }
    }

    // MARK: Out

    /// Takes as many bytes as `destination` has, or all of them.
    mutating func take(_ count: Int, into destination: DestinationBytes) {
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe destination.buffer[0..<count].copyBytes(from: bytes[start..<start + count])
        }
        drop(count)
    }

    mutating func take(into arena: Arena, _ range: ArenaRange) {
        let count = Int(range.length.rawValue)
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe arena.bytes(range).copyBytes(from: bytes[start..<start + count])
        }
        drop(count)
    }

    /// The first 64 bytes as little-endian words.
    mutating func takeHeader() -> InlineArray<8, UInt64> {
        precondition(count >= 64, "a header of \(count) bytes")
        let words = unsafe bytes.withUnsafeBytes { bytes in
            InlineArray<8, UInt64> { index in
                UInt64(
                    littleEndian: unsafe bytes.loadUnaligned(
                        fromByteOffset: start + index * 8, as: UInt64.self))
            }
        }
        drop(64)
        return words
    }

    mutating func drop(_ count: Int) {
        precondition(count <= self.count, "more bytes taken than there are")
        start += count
        if start == bytes.count {
            bytes.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 256 << 10 {
            bytes.removeSubrange(0..<start)
            start = 0
        }
    }

    /// A copy of the bytes put in last.
    func last(_ count: Int) -> [UInt8] { Array(bytes.suffix(count)) }
}

extension OwnedBytes {
    /// Makes the bytes from `offset` the value `name`.
    func fill(_ name: ValueName, of values: BlockValues, at offset: Int) {
        let place = destination.slice(from: offset, count: Int(name.lengthBytes))
        unsafe values.fill(place.buffer, name)
    }

    /// Whether the bytes from `offset` are the value `name`.
    func holds(_ name: ValueName, of values: BlockValues, at offset: Int) -> Bool {
        let place = source.slice(from: offset, count: Int(name.lengthBytes))
        return unsafe values.matches(place.buffer, name)
    }

    /// Whose value begins at `offset`.
    func origin(_ values: BlockValues, at offset: Int, count: Int) -> ValueName? {
        unsafe values.origin(of: source.slice(from: offset, count: count).buffer)
    }
}

extension ValueMemory {
    var byteCount: Int {
        switch self {
        case .source(let bytes): bytes.count
        case .destination(let bytes): bytes.count
        }
    }

    /// A copy of the bytes from `offset`.
    func copy(from offset: Int, count: Int) -> [UInt8] {
        switch self {
        case .source(let bytes): unsafe Array(bytes.slice(from: offset, count: count).buffer)
        case .destination(let bytes): unsafe Array(bytes.slice(from: offset, count: count).buffer)
        }
    }

    /// Copies `bytes` to `offset`; memory that is only read stays as it is.
    func store(_ bytes: [UInt8], at offset: Int) {
        guard case .destination(let memory) = self else { return }
        unsafe memory.slice(from: offset, count: bytes.count).buffer.copyBytes(from: bytes)
    }
}
