// SimulatedRing: Ring without a kernel: what is submitted waits where a fuzz target finds it, and
// completes as the target says.
//
// Always holds: an operation completes when `complete` is called for it, never by itself; nothing
// is submitted to Linux. It stands in for Ring.swift, RingOperations.swift, RingRegistration.swift
// and MonotonicClock.swift of Sources/Ring; the other files of this folder are those of
// Sources/Ring.
//
// One of the files that may say `unsafe`.

internal import CIOURing
internal import Glibc

/// The end of one operation.
package struct RingCompletion: Sendable {
    package let userData: UInt64
    package let result: Int32
    package let hasMore: Bool
}

/// How long to wait for a completion; this ring never does.
package enum RingWait: Hashable, Sendable {
    case no
    case forever
    case nanoseconds(UInt64)
}

/// A file, as in the real ring.
package enum RingFile: Hashable, Sendable {
    case descriptor(Int32)
    case registered(Int)
}

/// An operation that somebody submitted and that hasn't completed.
@safe
package struct RingSubmission {
    package enum Action { case accept, receive, receiveWhole, send, wake }

    package let action: Action
    package let descriptor: Int32
    package let userData: UInt64
    /// Where received bytes go, or where those to send are.
    package let memory: [UnsafeMutableRawBufferPointer]

    /// Bytes of all of `memory`.
    package var byteCount: Int { unsafe memory.reduce(0) { $0 + $1.count } }

    /// The bytes to send, the first `count` of them.
    package func bytes(count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for index in unsafe memory.indices where bytes.count < count {
            unsafe bytes += memory[index].prefix(count - bytes.count)
        }
        return bytes
    }

    /// Puts `bytes` where received ones go, from the start; traps when there are more than fit.
    package func fill(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        for index in unsafe memory.indices where !rest.isEmpty {
            let part = unsafe rest.prefix(memory[index].count)
            unsafe memory[index].copyBytes(from: part)
            rest = rest.dropFirst(part.count)
        }
        precondition(rest.isEmpty, "more bytes than were asked for")
    }
}

/// A ring whose kernel is the fuzz target.
@safe
package struct Ring: ~Copyable {
    package internal(set) var features = RingFeatures()
    /// What is in flight, in the order in which it was submitted.
    package private(set) var submissions: [RingSubmission] = []
    private var completions: [RingCompletion] = []

    package init(entries: UInt32, inFlight: UInt32) throws(RingError) {}

    package mutating func enter(_ wait: RingWait) {}

    package mutating func nextCompletion() -> RingCompletion? {
        completions.isEmpty ? nil : completions.removeFirst()
    }

    /// Ends the operation at `index` of `submissions`; with `hasMore` it stays there.
    package mutating func complete(_ index: Int, result: Int32, hasMore: Bool = false) {
        let submission = submissions[index]
        if !hasMore { submissions.remove(at: index) }
        completions.append(
            RingCompletion(userData: submission.userData, result: result, hasMore: hasMore))
    }

    // MARK: Sockets

    package mutating func acceptMany(_ listener: Int32, userData: UInt64) {
        unsafe submit(.accept, listener, userData)
    }

    @unsafe
    package mutating func receive(
        _ socket: Int32, into memory: UnsafeMutableRawBufferPointer, userData: UInt64
    ) {
        precondition(memory.count > 0, "a receive of nothing")
        unsafe submit(.receive, socket, userData, [memory])
    }

    package mutating func receiveWhole(
        _ socket: Int32, _ vectors: borrowing MessageVectors, _ index: Int, userData: UInt64
    ) {
        unsafe submit(.receiveWhole, socket, userData, vectors.pieces(of: index))
    }

    package mutating func sendWhole(
        _ socket: Int32, _ vectors: borrowing MessageVectors, _ index: Int, userData: UInt64
    ) {
        unsafe submit(.send, socket, userData, vectors.pieces(of: index))
    }

    package mutating func awaitWake(_ waker: RingWaker, userData: UInt64) {
        unsafe submit(.wake, waker.descriptor, userData)
    }

    package mutating func cancel(_ target: UInt64, userData: UInt64) {
        if let index = submissions.firstIndex(where: { $0.userData == target }) {
            complete(index, result: -ECANCELED)
        }
        completions.append(RingCompletion(userData: userData, result: 0, hasMore: false))
    }

    @unsafe
    private mutating func submit(
        _ action: RingSubmission.Action, _ descriptor: Int32, _ userData: UInt64,
        _ memory: [UnsafeMutableRawBufferPointer] = unsafe []
    ) {
        precondition(
            !submissions.contains { $0.userData == userData && action != .wake },
            "two operations in flight of one name")
        submissions.append(
            unsafe RingSubmission(
                action: action, descriptor: descriptor, userData: userData, memory: memory))
    }

    // MARK: Drives, which no fuzz target has here

    @unsafe
    package mutating func read(
        _ file: RingFile, into memory: UnsafeMutableRawBufferPointer, at offset: UInt64,
        mayBlock: Bool = false, userData: UInt64
    ) { refuse() }

    @unsafe
    package mutating func write(
        _ file: RingFile, from memory: UnsafeMutableRawBufferPointer, at offset: UInt64,
        mayBlock: Bool = false, userData: UInt64
    ) { refuse() }

    package mutating func synchronizeData(_ file: RingFile, userData: UInt64) { refuse() }

    @unsafe
    package mutating func fileStatus(
        of descriptor: Int32, into status: UnsafeMutableRawPointer, userData: UInt64
    ) { refuse() }

    package mutating func punchHole(
        _ file: RingFile, at offset: UInt64, length: UInt64, userData: UInt64
    ) { refuse() }

    package mutating func discardBlocks(
        _ file: RingFile, at offset: UInt64, length: UInt64, userData: UInt64
    ) { refuse() }

    package mutating func awaitReadable(_ descriptor: Int32, userData: UInt64) { refuse() }

    package mutating func allowBlockedOperations(_ count: Int) {}

    package mutating func registerFileTable(count: Int) throws(RingError) { refuse() }

    package mutating func registerFile(
        _ descriptor: Int32, at index: Int
    ) throws(RingError) { refuse() }

    package mutating func unregisterFiles() { refuse() }

    package mutating func registerBuffers(_ memory: UnsafeMutableRawBufferPointer) {}

    private func refuse() -> Never { preconditionFailure("the simulated ring has no files") }
}

extension MessageVectors {
    /// The pieces of message `index`.
    func pieces(of index: Int) -> [UnsafeMutableRawBufferPointer] {
        let message = unsafe message(index)
        return unsafe (0..<message.pointee.msg_iovlen).map { piece in
            let vector = unsafe message.pointee.msg_iov[piece]
            return unsafe UnsafeMutableRawBufferPointer(
                start: vector.iov_base, count: vector.iov_len)
        }
    }
}

/// A clock that the fuzz target turns.
@safe
package enum MonotonicClock {
    private nonisolated(unsafe) static var time: UInt64 = 1_000_000_000

    package static func nanoseconds() -> UInt64 { unsafe time }

    /// Sets the time.
    package static func set(nanoseconds: UInt64) { unsafe time = nanoseconds }
}
