// RunReport: what became of one run, as plain values: for a line on a terminal, for a database, for
// a picture.

package import Judgement

/// How a run ended.
package enum RunVerdict: String, Sendable {
    case passed, violated
    /// Nothing was wrong, and too little happened to prove anything.
    case belowMinimum = "below-minimum"
}

/// A broken promise, and when it was seen.
package struct RunViolation: Sendable {
    package let assertion: String
    package let detail: String
    package let atMicroseconds: UInt64
}

/// One look at the run, each a fixed interval after the one before.
package struct RunSample: Sendable {
    /// From the beginning of the run.
    package var atMicroseconds: UInt64 = 0
    /// Requests that ended since the sample before.
    package var requests: UInt64 = 0
    /// Of these, with a result or a miss.
    package var answered: UInt64 = 0
    /// Of these, with what was asked for.
    package var served: UInt64 = 0
    /// Served of keys on other drives than the first that a fault strikes.
    package var othersServed: UInt64 = 0
    package var latencyMedianMicroseconds: UInt64 = 0
    package var latencyP99Microseconds: UInt64 = 0
    /// Requests under way at the clients.
    package var underWay: UInt64 = 0
    /// Operations in flight on each drive.
    package var driveQueues: [UInt64] = []
    package var driveStates: [String] = []
    package var health = ReportedHealth.unavailable
    package var blocks: UInt64 = 0
    package var usedBytes: UInt64 = 0
    /// Blocks whose bytes the store has called doubtful so far.
    package var doubts: UInt64 = 0

    package init() {}
}

/// A fault as it struck.
package struct RunFault: Sendable {
    package let name: String
    /// "drive 2", "client 0", "server".
    package let target: String
    /// What it was told, for people: "factor 100, step".
    package let detail: String
    package let beganMicroseconds: UInt64
    /// nil for one that struck once.
    package var endedMicroseconds: UInt64?
}

/// A change of a drive's state or of the store's health, as the store reported it.
package struct RunEvent: Sendable {
    package let atMicroseconds: UInt64
    /// "server", "drive 1", "health".
    package let subject: String
    package let what: String
}

/// One run.
package struct RunReport: Sendable {
    package var scenario = ""
    package var contentHash: UInt64 = 0
    package var seed: UInt64 = 0
    package var fingerprint: UInt64 = 0
    package var verdict = RunVerdict.passed
    package var violation: RunViolation?
    /// What was missing for the minimum, a sentence each.
    package var shortfalls: [String] = []
    package var virtualMicroseconds: UInt64 = 0
    /// Filled in by whoever measured it.
    package var realMicroseconds: UInt64 = 0
    package var requests: UInt64 = 0
    /// Keys judged: a batch has several.
    package var judged: UInt64 = 0
    package var faultsStruck: UInt64 = 0
    /// By the names of statuses, in a fixed order.
    package var outcomes: [(status: String, count: UInt64)] = []
    package var felt: [(name: String, count: UInt64)] = []
    package var reached: [ReachedState] = []
    package var samples: [RunSample] = []
    package var faults: [RunFault] = []
    package var events: [RunEvent] = []
    /// What the seed picked: shards, drives, clients….
    package var configuration: [(name: String, value: String)] = []

    package init() {}

    /// 16 hex digits.
    package var fingerprintText: String {
        let digits = String(fingerprint, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    package var hasPassed: Bool { verdict == .passed }
}
