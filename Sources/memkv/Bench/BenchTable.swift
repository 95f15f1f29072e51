// BenchTable: a report for people: a row a cell, and below it what is missing and why.

import History
import Settings

enum BenchTable {
    private static let missing = "–"
    private static let headings = [
        "", "value", "in flight", "conns", "req/s", "MiB/s", "p50", "p99", "p99.9",
        "client s/GiB", "server s/GiB", "keys/server s", "written/byte", "flushes/GiB", "misses",
    ]

    /// The report; of two, each under its program's name, then their comparison.
    static func text(of result: BenchResult) -> String {
        guard result.reports.count > 1 else {
            return result.reports.map(text).joined() + recorded(result)
        }
        let tables = result.reports.map { report in
            "\(report.servers.memkvd.known ?? "")\n\(text(of: report))\n\n"
        }
        let comparison = result.comparison.map(ComparisonTable.text) ?? ""
        return tables.joined() + comparison + recorded(result)
    }

    private static func recorded(_ result: BenchResult) -> String {
        let numbers = result.reports.compactMap(\.recordedAsRun.known).map(String.init)
        switch numbers.count {
        case 0: return ""
        case 1:
            return "\nrecorded as run \(numbers[0]); "
                + "`memkv history compare\(result.databaseOption)` compares runs"
        default:
            return "\nrecorded as runs \(numbers.joined(separator: " and ")); again: "
                + "`memkv history compare \(numbers.joined(separator: " "))"
                + "\(result.databaseOption)`"
        }
    }

    private static func text(of report: BenchReport) -> String {
        var reasons: [String] = []
        let rows = report.cells.map { cells(of: $0, &reasons) }
        let widths = headings.indices.map { column in
            ([headings] + rows).map { $0[column].count }.max() ?? 0
        }
        let lines = ([headings] + rows).map { row in
            row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }.joined(separator: "  ")
        }
        return (lines + notes(reasons, report)).joined(separator: "\n")
    }

    private static func notes(_ reasons: [String], _ report: BenchReport) -> [String] {
        var lines = [
            "s/GiB: processor seconds. Times from submission to the verified answer, in a closed "
                + "loop; coordinated omission is not corrected."
        ]
        lines += reasons.map { "\(missing) not measured: \($0)" }
        lines += report.skipped.map { "not run: \($0.load): \($0.reason)" }
        return lines
    }

    private static func cells(of cell: BenchCell, _ reasons: inout [String]) -> [String] {
        func show<Value>(_ figure: Measured<Value>, _ format: (Value) -> String) -> String {
            switch figure {
            case .value(let value): return format(value)
            case .notMeasured(let reason):
                if !reasons.contains(reason) { reasons.append(reason) }
                return missing
            }
        }
        let latency = cell.latencyNanoseconds
        let isExists = cell.operation == .exists
        return [
            isExists ? "exists x \(cell.batchKeys)" : cell.operation.rawValue,
            isExists ? "" : ByteSize(bytes: UInt64(cell.valueBytes)).exact,
            "\(cell.inFlight)", "\(cell.connections)",
            show(cell.requestsPerSecond) { digits($0) },
            isExists ? "" : show(cell.bytesPerSecond) { digits($0 / Double(1 << 20)) },
            show(latency.p50, duration), show(latency.p99, duration), show(latency.p999, duration),
            isExists ? "" : show(cell.clientProcessorSecondsPerGib) { digits($0) },
            isExists ? "" : show(cell.serverProcessorSecondsPerGib) { digits($0) },
            isExists ? show(cell.keysPerServerProcessorSecond) { digits($0) } : "",
            cell.operation == .put ? show(cell.writtenBytesPerAcknowledgedByte) { digits($0) } : "",
            cell.operation == .put ? show(cell.flushesPerAcknowledgedGib) { digits($0) } : "",
            "\(cell.misses)",
        ]
    }

    /// Three digits that count, never fewer than the whole number has.
    static func digits(_ value: Double) -> String {
        let decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let rounded = UInt64((value * scale).rounded())
        guard decimals > 0 else { return "\(rounded)" }
        let fraction = String(rounded % UInt64(scale))
        return "\(rounded / UInt64(scale))."
            + String(repeating: "0", count: decimals - fraction.count) + fraction
    }

    static func duration(_ nanoseconds: UInt64) -> String {
        let value = Double(nanoseconds)
        if value >= 1e9 { return digits(value / 1e9) + " s" }
        return value >= 1e6 ? digits(value / 1e6) + " ms" : digits(value / 1e3) + " µs"
    }
}
