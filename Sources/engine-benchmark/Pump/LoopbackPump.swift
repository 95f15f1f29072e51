// LoopbackPump: the least that a verified transfer over TCP costs. One thread hashes a block and
// sends it, the other receives and hashes it; blocking calls, the kernel's own socket buffers.
//
//   sender:    warm-up blocks -> waits for a byte -> measured blocks -> checksums of all of them
//   receiver:  warm-up blocks -> reads the clocks, sends the byte -> measured blocks -> compares
//
// Always holds: both walk a pool of their own, block by block, so that with pools larger than the
// caches every block is hashed, sent and received cold; every checksum is compared. Trouble with a
// socket ends the process: there is nothing to measure then.
//
// One of the files that may say `unsafe`.

#if IOUring

import Client
import Glibc
import Ring
import Wire

/// Sizes of a pump's run.
struct PumpPlan: Sendable {
    var blockBytes: Int
    var poolBytes: Int
    var warmUpBlocks: Int
    var blocks: Int
}

/// What the measured blocks took.
struct PumpRun {
    var seconds: Double
    var senderProcessorSeconds: Double
    var receiverProcessorSeconds: Double
}

enum LoopbackPump {
    static func run(_ plan: PumpPlan) throws -> PumpRun {
        let (sending, receiving) = try connectedPair()
        let pool = filledPool(plan.poolBytes)
        guard DetachedThread.start({ send(plan, from: pool, on: sending) }) else {
            throw BenchmarkFailure("the system has no thread left")
        }
        return try receive(plan, on: receiving)
    }

    // MARK: The two ends

    private static func send(_ plan: PumpPlan, from pool: OwnedBytes, on socket: Int32) {
        var checksums: [UInt64] = []
        for number in 0..<(plan.warmUpBlocks + plan.blocks) {
            if number == plan.warmUpBlocks {
                var byte: UInt8 = 0
                unsafe check(recv(socket, &byte, 1, 0), "recv")
            }
            let block = unsafe place(of: number, plan, pool)
            checksums.append(unsafe Digest.xxh3(UnsafeRawBufferPointer(block)))
            unsafe sendAll(UnsafeRawBufferPointer(block), on: socket)
        }
        unsafe checksums.withUnsafeBytes { unsafe sendAll($0, on: socket) }
    }

    private static func receive(_ plan: PumpPlan, on socket: Int32) throws -> PumpRun {
        let pool = filledPool(plan.poolBytes)
        var checksums: [UInt64] = []
        func receiveBlock(_ number: Int) {
            let block = unsafe place(of: number, plan, pool)
            unsafe receiveAll(block, on: socket)
            checksums.append(unsafe Digest.xxh3(UnsafeRawBufferPointer(block)))
        }
        for number in 0..<plan.warmUpBlocks { receiveBlock(number) }
        let process = ProcessorClock.ownNanoseconds
        let thread = ProcessorClock.threadNanoseconds
        let began = MonotonicClock.nanoseconds()
        var byte: UInt8 = 1
        unsafe check(Glibc.send(socket, &byte, 1, Int32(MSG_NOSIGNAL)), "send")
        for number in 0..<plan.blocks { receiveBlock(plan.warmUpBlocks + number) }
        let both = ProcessorClock.ownNanoseconds - process
        let own = ProcessorClock.threadNanoseconds - thread
        let seconds = Double(MonotonicClock.nanoseconds() - began) / 1e9
        var sent = [UInt64](repeating: 0, count: checksums.count)
        unsafe sent.withUnsafeMutableBytes { unsafe receiveAll($0, on: socket) }
        guard sent == checksums else { throw BenchmarkFailure("a block arrived damaged") }
        return PumpRun(
            seconds: seconds, senderProcessorSeconds: Double(both - own) / 1e9,
            receiverProcessorSeconds: Double(own) / 1e9)
    }

    // MARK: Memory

    private static func filledPool(_ bytes: Int) -> OwnedBytes {
        let pool = OwnedBytes(count: bytes)
        pool.store(words: (0..<bytes / 8).map { BlockKey.finalize(UInt64($0)) }, at: 0)
        return pool
    }

    @unsafe
    private static func place(
        of number: Int, _ plan: PumpPlan, _ pool: OwnedBytes
    ) -> UnsafeMutableRawBufferPointer {
        let index = number % (plan.poolBytes / plan.blockBytes)
        return unsafe pool.destination.slice(
            from: index * plan.blockBytes, count: plan.blockBytes
        ).buffer
    }

    // MARK: Sockets

    private static func connectedPair() throws -> (Int32, Int32) {
        let stream = Int32(SOCK_STREAM.rawValue)
        let listener = socket(AF_INET, stream, 0)
        let sending = socket(AF_INET, stream, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isConnected = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            let plain = unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(
                to: sockaddr.self)
            return unsafe bind(listener, plain, length) == 0 && listen(listener, 1) == 0
                && getsockname(listener, plain, &length) == 0
                && connect(sending, plain, length) == 0
        }
        let receiving = isConnected ? accept(listener, nil, nil) : -1
        close(listener)
        guard receiving >= 0 else {
            throw BenchmarkFailure("no connection over loopback: errno \(errno)")
        }
        return (sending, receiving)
    }

    @unsafe
    private static func sendAll(_ bytes: UnsafeRawBufferPointer, on socket: Int32) {
        var rest = unsafe bytes[...]
        while unsafe !rest.isEmpty {
            let part = unsafe UnsafeRawBufferPointer(rebasing: rest)
            let count = unsafe Glibc.send(
                socket, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
            check(count, "send")
            unsafe rest = rest.dropFirst(count)
        }
    }

    @unsafe
    private static func receiveAll(_ bytes: UnsafeMutableRawBufferPointer, on socket: Int32) {
        var rest = unsafe bytes[...]
        while unsafe !rest.isEmpty {
            let part = unsafe UnsafeMutableRawBufferPointer(rebasing: rest)
            let count = unsafe recv(
                socket, part.baseAddress, part.count, Int32(MSG_WAITALL))
            check(count, "recv")
            unsafe rest = rest.dropFirst(count)
        }
    }

    private static func check(_ result: Int, _ call: String) {
        precondition(result > 0, "\(call) on the pump's socket: result \(result), errno \(errno)")
    }
}

#endif
