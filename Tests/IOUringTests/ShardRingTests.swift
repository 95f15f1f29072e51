// The shard's ring by itself: waiting, waking, and what happens when the kernel refuses something.

#if IOUring

import ContractSuites
import Engine
import Glibc
import IOUring
import Ring
import Synchronization
import Testing

@Suite(.serialized) struct ShardRingTests {
    private func makeRing() throws -> ShardRing {
        try ShardRing(
            arena: try mapArena(bytes: ByteCount(UInt64(1 << 20))).arena, inFlightLimit: 8)
    }

    @Test func aWaitEndsAtItsInstantAndNotBefore() throws {
        let shard = try makeRing()
        let end = now().advanced(byMicroseconds: 2000)
        while now() < end { #expect(shard.enter(wait: true, until: end) == 0) }
        #expect(shard.enter(wait: true, until: Instant(nanoseconds: 0)) == 0)
    }

    @Test func manyWakesAreOne() throws {
        let shard = try makeRing()
        for _ in 0..<3 { shard.waker.wake() }
        #expect(shard.enter(wait: true) == 1)
        #expect(shard.enter(wait: true, until: now().advanced(byMicroseconds: 1000)) == 0)
        shard.waker.wake()
        #expect(shard.enter(wait: true) == 1)
    }

    @Test func anotherThreadEndsTheWait() throws {
        let shard = try makeRing()
        var thread: pthread_t = 0
        let context = unsafe Unmanaged.passRetained(shard.waker).toOpaque()
        let result = unsafe pthread_create(&thread, nil, wakeLater, context)
        try #require(result == 0)
        #expect(shard.enter(wait: true) == 1)
        pthread_join(thread, nil)
    }

    @Test func whatIsMissingIsSaidInOneSentence() {
        var features = RingFeatures()
        #expect(features.description.contains("deferred task run (Linux 6.1)"))
        #expect(features.description.contains("single issuer (Linux 6.0)"))
        features.hasSingleIssuer = true
        features.hasDeferredTaskRun = true
        features.hasCooperativeTaskRun = true
        features.hasRegisteredBuffers = true
        #expect(!features.description.contains("missing"))
        features.hasRegisteredBuffers = false
        features.bufferRefusal = SystemError(ENOMEM)
        #expect(features.description.contains("ulimit -l"))
    }

    /// An ordinary user with the usual locked-memory limit: slower, never refused.
    @Test(.enabled(if: getuid() == 0, "needs a root to give up being"))
    func withoutLockedMemoryDrivesStillKeepTheContract() async {
        await #expect(processExitsWith: .success) {
            var limit = rlimit(rlim_cur: 64 << 10, rlim_max: 64 << 10)
            // RLIMIT_MEMLOCK, which the importer drops.
            let isLimited = unsafe setrlimit(8, &limit) == 0
            try #require(isLimited && setuid(65534) == 0)
            var bench = try DriveBench(.tmpfsFile)
            #expect(bench.shard.features.hasRegisteredBuffers == false)
            #expect(bench.shard.features.description.contains("ulimit -l"))
            try bench.checkContract(seed: 5)
        }
    }
}

/// Threads must start in a global function.
private func wakeLater(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context = unsafe context else { return nil }
    usleep(2000)
    unsafe Unmanaged<RingWaker>.fromOpaque(context).takeRetainedValue().wake()
    return nil
}

#endif
