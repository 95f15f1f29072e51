// ProgressBar: one line on a terminal's stderr, rewritten at most ten times a second; nothing
// elsewhere.

import Client
import Foundation
import Settings

final class ProgressBar: @unchecked Sendable {
    // Sendable because everything below is guarded by the lock.
    private let lock = NSLock()
    private let title: String
    private let totalBytes: UInt64
    private let visible: Bool
    private let start = BlockingClient.now
    private var doneBytes: UInt64 = 0
    private var lastDrawn: MonotonicTime
    private var drawn = false

    /// `visible` is false when nobody looks: a file, a pipe, or `--json`.
    init(_ title: String, totalBytes: UInt64, visible: Bool) {
        self.title = title
        self.totalBytes = totalBytes
        self.visible = visible
        lastDrawn = start
    }

    func advance(byBytes bytes: UInt64) {
        lock.lock()
        defer { lock.unlock() }
        doneBytes += bytes
        let now = BlockingClient.now
        guard visible, now.microseconds(since: lastDrawn) >= 100_000 else { return }
        lastDrawn = now
        draw(now)
    }

    /// Removes the line; whatever comes next starts on a clean one.
    func finish() {
        lock.lock()
        defer { lock.unlock() }
        if drawn { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
        drawn = false
    }

    private func draw(_ now: MonotonicTime) {
        let width = 24
        let share = totalBytes == 0 ? 1 : min(1, Double(doneBytes) / Double(totalBytes))
        let full = Int(share * Double(width))
        let bar = String(repeating: "#", count: full) + String(repeating: ".", count: width - full)
        let seconds = Double(now.microseconds(since: start)) / 1_000_000
        let rate = ByteSize(bytes: UInt64(Double(doneBytes) / seconds)).rounded
        let line =
            "\r\(title) [\(bar)] \(Int(share * 100)) %  \(ByteSize(bytes: doneBytes).rounded)"
            + " of \(ByteSize(bytes: totalBytes).rounded), \(rate)/s\u{1B}[K"
        FileHandle.standardError.write(Data(line.utf8))
        drawn = true
    }
}
