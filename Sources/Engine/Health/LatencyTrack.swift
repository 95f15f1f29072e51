// LatencyTrack: what a drive's reads, or its writes, take, window by window, against what they took
// when it was well.
//
// Two figures for each operation: its latency, and its latency divided by what was in flight before
// it, in units of 64 KiB. More load raises the first alone, less load the second alone, a slower
// drive both: so the lower one's ratio to its baseline tells a slow drive from a busy one. Always
// holds: a window that was called slow never raises the baseline; a baseline follows improvement
// within seconds, and worsening by less than a doubling in ten minutes, so that a slow ramp shows.

/// A drive's operations of one kind, over some seconds.
struct LatencyWindow: Hashable, Sendable {
    /// `ratio` of a drive that is as it was.
    static let unchanged: UInt32 = 256

    var count: UInt32
    var meanMicroseconds: UInt64
    /// What they took over what they took before, in 1/256; nil while that isn't known.
    var ratio: UInt32?
}

/// One drive's reads, or its writes.
struct LatencyTrack: Sendable {
    /// Operations that make a window of one second whole.
    static let wholeCount: UInt32 = 16
    /// Seconds after which a window ends, however few operations it has.
    static let longestSeconds: UInt8 = 5
    /// Fewer tell nothing about what is usual.
    static let leastCount: UInt32 = 4
    /// What takes so long is a stall, which has a cause of its own, and says nothing about speed.
    private static let stallMicroseconds: UInt64 = 2_000_000
    /// Fixed-point: microseconds × 16.
    private static let scale: UInt64 = 16

    /// A window that has ended, and its length.
    struct Closed: Sendable {
        var window: LatencyWindow
        var seconds: UInt8
    }

    private var count: UInt32 = 0
    private var seconds: UInt8 = 0
    private var sum: UInt64 = 0
    private var loadedSum: UInt64 = 0
    private var baseline: UInt64 = 0
    private var loadedBaseline: UInt64 = 0
    private var lastMean: UInt64 = 0
    private var lastLoadedMean: UInt64 = 0

    /// An operation has completed before which `bytesAhead` were in flight, its own included.
    mutating func record(latencyMicroseconds: UInt64, bytesAhead: UInt64) {
        guard latencyMicroseconds < Self.stallMicroseconds else { return }
        let latency = latencyMicroseconds * Self.scale
        count += 1
        sum += latency
        loadedSum += latency / (1 + bytesAhead >> 16)
    }

    /// Forgets the window that is open: what it holds says nothing about the drive.
    mutating func dropWindow() {
        count = 0
        seconds = 0
        sum = 0
        loadedSum = 0
    }

    /// Another second has passed: the window and how many seconds it has, when that ends it.
    mutating func closeSecond() -> Closed? {
        seconds += 1
        if count < Self.wholeCount, seconds < Self.longestSeconds { return nil }
        defer { dropWindow() }
        guard count > 0 else { return nil }
        lastMean = sum / UInt64(count)
        lastLoadedMean = loadedSum / UInt64(count)
        if baseline == 0, count >= Self.leastCount {
            baseline = max(1, lastMean)
            loadedBaseline = max(1, lastLoadedMean)
        }
        let window = LatencyWindow(
            count: count, meanMicroseconds: lastMean / Self.scale, ratio: ratio)
        return Closed(window: window, seconds: seconds)
    }

    private var ratio: UInt32? {
        guard baseline > 0 else { return nil }
        let unit = UInt64(LatencyWindow.unchanged)
        let lower = min(lastMean * unit / baseline, lastLoadedMean * unit / loadedBaseline)
        return UInt32(min(lower, UInt64(UInt32.max)))
    }

    /// The last window was a usual one: it counts for what comes.
    mutating func learn() {
        guard baseline > 0 else { return }
        Self.follow(lastMean, &baseline)
        Self.follow(lastLoadedMean, &loadedBaseline)
    }

    private static func follow(_ mean: UInt64, _ baseline: inout UInt64) {
        if mean < baseline {
            baseline = max(1, baseline - (baseline - mean) / 8)
        } else {
            baseline = min(mean, baseline + max(1, baseline / 1024))
        }
    }
}
