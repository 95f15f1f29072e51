// Memory as the client sees it: bytes a request reads, bytes a response fills, and blocks that are
// owned here.
//
// Always holds: a slice stays inside what it was cut from; an `OwnedBytes` frees its memory when
// the last reference goes, and SourceBytes and DestinationBytes cut from it are such references.
// Made from a plain buffer they own nothing: then whoever submits a request keeps the memory alive
// until its outcome. In both cases the submitter leaves the bytes alone until then.
//
// One of the files that may say `unsafe`.

private import Glibc
internal import Synchronization
package import Wire

/// Bytes that a request reads.
@safe
package struct SourceBytes: @unchecked Sendable {
    // Sendable because it is only an address: the submitter promises that nobody writes meanwhile.
    let address: UnsafeRawPointer
    package let count: Int
    let owner: OwnedBytes?

    package init(_ buffer: UnsafeRawBufferPointer, owner: OwnedBytes? = nil) {
        unsafe address = buffer.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!
        count = buffer.count
        self.owner = owner
    }

    /// Everything from `offset`, `count` bytes of it.
    package func slice(from offset: Int, count: Int) -> SourceBytes {
        precondition(
            offset >= 0 && count >= 0 && offset + count <= self.count, "slice outside its bytes")
        return unsafe SourceBytes(
            UnsafeRawBufferPointer(start: address + offset, count: count), owner: owner)
    }

    package var buffer: UnsafeRawBufferPointer {
        unsafe UnsafeRawBufferPointer(start: address, count: count)
    }

    /// XXH3-64 of the bytes.
    package var xxh3: UInt64 { unsafe Digest.xxh3(buffer) }
}

/// Bytes that a response fills.
@safe
package struct DestinationBytes: @unchecked Sendable {
    // Sendable for the same reason as SourceBytes.
    let address: UnsafeMutableRawPointer
    package let count: Int
    let owner: OwnedBytes?

    package init(_ buffer: UnsafeMutableRawBufferPointer, owner: OwnedBytes? = nil) {
        unsafe address = buffer.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 1)!
        count = buffer.count
        self.owner = owner
    }

    /// Everything from `offset`, `count` bytes of it.
    package func slice(from offset: Int, count: Int) -> DestinationBytes {
        precondition(
            offset >= 0 && count >= 0 && offset + count <= self.count, "slice outside its bytes")
        return unsafe DestinationBytes(
            UnsafeMutableRawBufferPointer(start: address + offset, count: count), owner: owner)
    }

    package var buffer: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: address, count: count)
    }

    /// The same bytes, to be read.
    package var source: SourceBytes {
        unsafe SourceBytes(UnsafeRawBufferPointer(buffer), owner: owner)
    }
}

/// Page-aligned memory of a fixed size, zero at first.
@safe
package final class OwnedBytes: @unchecked Sendable {
    // Sendable because its address never changes; who may touch the bytes is settled by hand-over.
    private let address: UnsafeMutableRawPointer
    package let count: Int
    /// What must go before the memory does: its registrations with devices, by device.
    private let companions = Mutex<[ObjectIdentifier: any AnyObject & Sendable]>([:])

    package init(count: Int) {
        self.count = count
        unsafe address = .allocate(byteCount: max(count, 1), alignment: 4096)
        unsafe address.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }

    /// A copy of `bytes`.
    package convenience init(_ bytes: [UInt8]) {
        self.init(count: bytes.count)
        unsafe bytes.withUnsafeBytes { source in
            unsafe destination.buffer.copyMemory(from: source)
        }
    }

    deinit {
        companions.withLock { $0 = [:] }
        unsafe address.deallocate()
    }

    /// What `maker` has made for this memory, made now if it hasn't yet; it lives as long as the
    /// memory, and keeps its maker.
    func companion<Companion: AnyObject & Sendable, Failure: Error>(
        of maker: some AnyObject, make: () throws(Failure) -> Companion
    ) throws(Failure) -> Companion {
        let known = companions.withLock { $0[ObjectIdentifier(maker)] }
        if let known = known as? Companion { return known }
        let made = try make()
        companions.withLock { $0[ObjectIdentifier(maker)] = made }
        return made
    }

    package var destination: DestinationBytes {
        unsafe DestinationBytes(
            UnsafeMutableRawBufferPointer(start: address, count: count), owner: self)
    }

    package var source: SourceBytes { destination.source }

    /// The first `count` bytes, to be read.
    package func source(count: Int) -> SourceBytes { source.slice(from: 0, count: count) }

    /// A copy of the first `count` bytes.
    package func copy(count: Int) -> [UInt8] { unsafe [UInt8](source(count: count).buffer) }

    /// Stores little-endian words one after another from byte `offset`.
    package func store(words: [UInt64], at offset: Int) {
        precondition(offset >= 0 && offset + words.count * 8 <= count, "words outside their memory")
        for (index, word) in words.enumerated() {
            unsafe address.storeBytes(
                of: word.littleEndian, toByteOffset: offset + index * 8, as: UInt64.self)
        }
    }

    /// Stores one little-endian word at byte `offset`.
    package func store(word: UInt64, at offset: Int) {
        precondition(offset >= 0 && offset + 8 <= count, "a word outside its memory")
        unsafe address.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt64.self)
    }

    /// The little-endian word at byte `offset`.
    package func loadWord(at offset: Int) -> UInt64 {
        precondition(offset >= 0 && offset + 8 <= count, "a word outside its memory")
        return UInt64(
            littleEndian: unsafe address.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// `count` little-endian words from the start.
    package func loadWords(count words: Int) -> [UInt64] {
        precondition(words * 8 <= count, "words outside their memory")
        return (0..<words).map { index in
            UInt64(
                littleEndian: unsafe address.loadUnaligned(
                    fromByteOffset: index * 8, as: UInt64.self))
        }
    }
}

extension MessageCode {
    /// Adds the next piece.
    mutating func add(_ bytes: SourceBytes) { unsafe add(bytes.buffer) }
}

extension StreamingChecksum {
    /// Adds the next piece.
    mutating func add(_ bytes: SourceBytes) { unsafe add(bytes.buffer) }
}

extension StreamingDigest {
    /// Adds the next piece.
    package mutating func add(_ bytes: SourceBytes) { unsafe add(bytes.buffer) }
}

extension BlockKey {
    /// SHA-256 of `bytes`, as a key of `namespace`: what content-addressed blocks are named by.
    package static func sha256(of bytes: SourceBytes, namespace: Namespace) -> BlockKey {
        unsafe Digest.sha256Key(bytes.buffer, namespace: namespace)
    }
}
