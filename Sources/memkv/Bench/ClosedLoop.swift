// ClosedLoop: requests kept under way, a fixed number of them, and the time each took.
//
// Always holds: a request's time runs from just before it is given to the client, so that hashing,
// waiting in the client and retries are in it, to when its answer, verified by its checksum, is in
// the caller's hands. The next one is sent when one has ended: what the server would have done to
// requests that arrive by themselves is not known ("coordinated omission", Tene 2013). A phase
// begins and ends with nothing under way, so that counters read around it count its requests alone.

import Client
import Histogram
import Wire

/// What a phase did.
struct LoopCounts {
    var requests: UInt64 = 0
    var bytes: UInt64 = 0
    var keys: UInt64 = 0
    var misses: UInt64 = 0
    /// From the first request's beginning to the last one's end.
    var nanoseconds: UInt64 = 0
    /// Of each request, in nanoseconds, to three digits.
    var latencies = Histogram<UInt64>(
        highestTrackableValue: 3_600_000_000_000, numberOfSignificantValueDigits: .three)
}

/// When a phase ends: at a time or after a number of requests, whichever is first.
struct LoopLimit {
    var microseconds: UInt64
    var requests = UInt64.max
}

struct ClosedLoop {
    let client: BlockingClient
    let inFlight: Int
    /// Each request's deadline, from its beginning.
    let timeoutMicroseconds: UInt64
    /// Used in turn: more than the caches hold, so that values leave and arrive cold.
    private let memory: [OwnedBytes]

    private struct UnderWay {
        let number: UInt64
        let place: Int
        let began: MonotonicTime
    }

    /// `pool` holds at least one value for each request in flight.
    init(_ client: BlockingClient, inFlight: Int, timeoutMicroseconds: UInt64, pool: [OwnedBytes]) {
        precondition(pool.count >= inFlight, "a request without memory")
        self.client = client
        self.inFlight = inFlight
        self.timeoutMicroseconds = timeoutMicroseconds
        memory = pool
    }

    func run(
        _ workload: inout some BenchWorkload, until limit: LoopLimit
    ) throws(CommandFailure) -> LoopCounts {
        var counts = LoopCounts()
        var underWay: [RequestTag: UnderWay] = [:]
        var free = ArraySlice(memory.indices)
        var sent: UInt64 = 0
        let began = BlockingClient.now
        let end = began.advanced(byMicroseconds: limit.microseconds)
        while true {
            while underWay.count < inFlight, sent < limit.requests, BlockingClient.now < end,
                let place = free.popFirst()
            {
                guard let (number, request) = workload.next(memory[place]) else { break }
                let start = BlockingClient.now
                let tag = try submit(request, at: start)
                underWay[tag] = UnderWay(number: number, place: place, began: start)
                sent += 1
            }
            guard let outcome = client.nextOutcome() else { break }
            let now = BlockingClient.now
            guard let ended = underWay.removeValue(forKey: outcome.tag) else {
                preconditionFailure("an outcome that nobody waits for")
            }
            let answer = try workload.judge(
                outcome, of: ended.number, memory[ended.place], by: client)
            free.append(ended.place)
            counts.add(answer, nanoseconds: now.nanoseconds - ended.began.nanoseconds)
            counts.nanoseconds = now.nanoseconds - began.nanoseconds
        }
        return counts
    }

    private func submit(
        _ request: ClientRequest, at start: MonotonicTime
    ) throws(CommandFailure) -> RequestTag {
        do throws(SubmitError) {
            return try client.submit(
                request, deadline: start.advanced(byMicroseconds: timeoutMicroseconds))
        } catch {
            throw CommandFailure(.refused, "a request wasn't taken: \(error)")
        }
    }
}

extension LoopCounts {
    /// Another phase of the same load.
    mutating func add(_ other: LoopCounts) {
        requests += other.requests
        bytes += other.bytes
        keys += other.keys
        misses += other.misses
        nanoseconds += other.nanoseconds
        latencies.add(other.latencies)
    }

    fileprivate mutating func add(_ answer: BenchAnswer, nanoseconds: UInt64) {
        requests += 1
        bytes += answer.bytes
        keys += answer.keys
        misses += answer.misses
        latencies.record(nanoseconds)
    }
}
