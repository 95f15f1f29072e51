// Processors: which processors this process may run on, so that each shard gets one of its own.

/// The processors that Linux lets this process use.
enum Processors {
    /// The one for shard `index`: counted from the last, because interrupts and everything that
    /// doesn't choose prefer the first. Nil when Linux doesn't tell.
    static func forShard(_ index: Int) -> Int? {
        let allowed = allowed
        return allowed.isEmpty ? nil : allowed[allowed.count - 1 - index % allowed.count]
    }

    /// How many there are; 1 when Linux doesn't tell.
    static var count: Int { max(1, allowed.count) }

    private static var allowed: [Int] {
        guard let status = try? SystemCalls.readText("/proc/self/status", limit: 1 << 16),
            let line = status.split(separator: "\n").first(where: {
                $0.hasPrefix("Cpus_allowed_list:")
            })
        else { return [] }
        return list(line.dropFirst("Cpus_allowed_list:".count))
    }

    /// The numbers of a list such as `0-3,8`.
    static func list(_ text: some StringProtocol) -> [Int] {
        text.split(separator: ",").flatMap { part -> [Int] in
            let ends = part.split(separator: "-").compactMap { end in
                Int(String(end.filter { !$0.isWhitespace }))
            }
            guard let first = ends.first, let last = ends.last, first <= last else { return [] }
            return Array(first...last)
        }
    }
}
