// ProcessFigures: what the kernel says of this process, for the admin endpoint.
//
// Always holds: a figure that the kernel doesn't give is 0; nothing fails for want of it.

internal import Admin

extension ProcessReading {
    /// The present; `startSeconds` is when the process began, in seconds since 1970.
    init(startSeconds: Double) {
        let status = (try? SystemCalls.readText("/proc/self/status", limit: 1 << 16)) ?? ""
        self.init(
            processorSeconds: SystemCalls.processorSeconds(),
            residentBytes: Self.number("VmRSS", in: status) * 1024,
            virtualBytes: Self.number("VmSize", in: status) * 1024,
            openDescriptors: SystemCalls.openDescriptorCount(),
            descriptorLimit: SystemCalls.descriptorLimit(),
            threads: Self.number("Threads", in: status), startSeconds: startSeconds)
    }

    /// The number behind `field:` in a text like /proc/self/status.
    static func number(_ field: String, in text: String) -> UInt64 {
        for line in text.split(separator: "\n") where line.hasPrefix(field + ":") {
            let digits = line.dropFirst(field.count + 1).drop(while: \.isWhitespace)
                .prefix(while: \.isNumber)
            return UInt64(digits) ?? 0
        }
        return 0
    }
}
