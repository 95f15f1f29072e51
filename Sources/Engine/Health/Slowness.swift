// Slowness: when a drive is called slow, and when it is well again.
//
// Always holds: one slow second never flags a drive and one good second never clears it. Of the
// last 30 seconds at least 8 must have been slow, those of eight times the usual latency counted
// twice; ten good seconds in a row clear it. So a drive that is slow for good, or again and again,
// is flagged within 30 s. Seconds that tell nothing change nothing.

/// What one window says of its drive.
enum LatencyVerdict: UInt8, Comparable, Sendable {
    case usual
    case slow
    /// Eight times its usual latency, or more.
    case verySlow

    static func < (left: LatencyVerdict, right: LatencyVerdict) -> Bool {
        left.rawValue < right.rawValue
    }

    private static let verySlowRatio: UInt32 = 8 * LatencyWindow.unchanged
    /// A drive whose operations take so long is slow, whatever it did before.
    static let hopelessMicroseconds: UInt64 = 1_000_000
    /// Below it few operations, or those of a drive without others to compare it with, say nothing:
    /// a sleeping processor or a sleeping drive takes milliseconds to wake.
    static let clearMicroseconds: UInt64 = 20_000

    /// Judges `window` beside the other drives' of the same seconds; nil without other drives.
    init(_ window: LatencyWindow, peers: PeerLatencies?) {
        self = .usual
        // One operation that took long is a stall, if anything.
        guard window.count >= LatencyTrack.leastCount else { return }
        if window.meanMicroseconds >= Self.hopelessMicroseconds {
            self = .verySlow
            return
        }
        guard let ratio = window.ratio else { return }
        let isClear = window.meanMicroseconds >= Self.clearMicroseconds
        let common = max(LatencyWindow.unchanged, peers?.medianRatio ?? LatencyWindow.unchanged)
        guard UInt64(ratio) >= UInt64(common) * Self.factor(besides: peers) / 4 else { return }
        guard isClear || peers != nil && window.count >= LatencyTrack.wholeCount else { return }
        self = UInt64(ratio) >= UInt64(Self.verySlowRatio) ? .verySlow : .slow
    }

    /// Quarters of what has become usual for all that make a drive slow. A single peer is a poor
    /// measure: its own good seconds make its neighbour look slow.
    private static func factor(besides peers: PeerLatencies?) -> UInt64 {
        switch peers?.drives ?? 0 {
        case 0: 16
        case 1: 12
        default: 7
        }
    }
}

/// The last seconds of one drive.
struct Slowness: Sendable {
    private static let seconds = 30
    private static let flagScore = 8
    private static let goodSecondsToClear = 10

    private var scores = InlineArray<30, UInt8>(repeating: 0)
    private var next = 0
    private var goodSeconds = 0
    private(set) var isSlow = false

    /// `seconds` that a verdict is about have passed.
    mutating func note(_ verdict: LatencyVerdict, seconds: UInt8) {
        let score = verdict.rawValue
        for _ in 0..<seconds {
            scores[next] = score
            next = (next + 1) % Self.seconds
        }
        goodSeconds = score == 0 ? goodSeconds + Int(seconds) : 0
        var sum = 0
        for index in 0..<Self.seconds { sum += Int(scores[index]) }
        if !isSlow, sum >= Self.flagScore {
            isSlow = true
        } else if isSlow, goodSeconds >= Self.goodSecondsToClear {
            self = Slowness()
        }
    }
}
