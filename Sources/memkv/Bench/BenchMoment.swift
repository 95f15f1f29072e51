// BenchMoment: when a run begins or ends, and what the machine has done until then.

import Client
import Foundation

struct BenchMoment {
    let date: Date
    let load: Measured<Double>
    /// Of all processors together, whoever used it; nil where /proc/stat doesn't tell.
    private let busyNanoseconds: UInt64?
    /// Of client and servers.
    private let ownNanoseconds: Measured<UInt64>
    private let time: MonotonicTime
    private let processors: Int

    /// `servers` are all processes that are measured.
    init(servers: [Measured<Int32>], client: Int32) {
        date = Date()
        load = MachineFacts.load
        time = BlockingClient.now
        processors = ProcessInfo.processInfo.activeProcessorCount
        busyNanoseconds = KernelFile.text("/proc/stat").flatMap(Self.busyNanoseconds(inStat:))
        ownNanoseconds = .sum(
            (servers + [.value(client)]).map { process in
                switch process {
                case .value(let process): ProcessCounters.processorNanoseconds(of: process)
                case .notMeasured(let reason): .notMeasured(reason)
                }
            })
    }

    /// From the first line of /proc/stat (proc_stat(5)): all but idle time and waiting for devices,
    /// in hundredths of a second; guests' time is part of their owners'.
    static func busyNanoseconds(inStat text: String) -> UInt64? {
        guard let line = text.split(separator: "\n").first, line.hasPrefix("cpu ") else {
            return nil
        }
        let fields = line.split(separator: " ").dropFirst().map { UInt64($0) }
        guard fields.count >= 8, fields.allSatisfy({ $0 != nil }) else { return nil }
        let ticks = fields.compactMap(\.self)
        // user, nice, system, interrupts, soft interrupts, stolen by the host; 3 and 4 are idle.
        let busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6] + ticks[7]
        return busy * 10_000_000
    }

    func nanoseconds(since begin: BenchMoment) -> UInt64 {
        time.nanoseconds - begin.time.nanoseconds
    }

    /// The share of all processors that other programs took, from 0 to 1.
    func busyElsewhere(since begin: BenchMoment) -> Measured<Double> {
        guard let now = busyNanoseconds, let then = begin.busyNanoseconds else {
            return .notMeasured("/proc/stat doesn't tell")
        }
        return ownNanoseconds.since(begin.ownNanoseconds).flatMap { own in
            let available = Double(nanoseconds(since: begin)) * Double(processors)
            let elsewhere = Double(now &- then) - Double(own)
            return .value(min(1, max(0, elsewhere / available)))
        }
    }
}
