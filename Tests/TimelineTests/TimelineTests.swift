// The picture of a run: complete by itself, true to its values, safe whatever the texts hold.

import Foundation
import Testing

@testable import Timeline

@Suite struct TimelineTests {
    private func run() -> TimelineRun {
        var run = TimelineRun(
            title: "drive <offline>", introduction: "One of four drives fails & returns.",
            verdict: TimelineRun.Fact("Passed.", "Everything held."), verdictTone: .good,
            endMicroseconds: 10_000_000)
        run.faults = [
            TimelineRun.Lane(
                heading: "drive 1",
                spans: [
                    TimelineRun.Span(
                        label: "offline", tone: .fault, fromMicroseconds: 2_000_000,
                        toMicroseconds: 5_000_000)
                ])
        ]
        run.charts = [
            TimelineRun.Chart(
                heading: "Throughput", explanation: "Bytes.", unit: .bytesPerSecond,
                lines: [
                    TimelineRun.Line(
                        label: "all",
                        points: (0..<2000).map {
                            TimelineRun.Point(microseconds: $0 * 5000, value: Double($0 % 7))
                        })
                ])
        ]
        return run
    }

    @Test func thePageNeedsNothingElse() {
        let page = TimelinePage.html(of: run())
        for word in ["<script", "http:", "https:", "url(", "@import", "src="] {
            #expect(!page.contains(word), "\(word)")
        }
    }

    @Test func textsAreEscaped() {
        let page = TimelinePage.html(of: run())
        #expect(page.contains("drive &lt;offline&gt;"))
        #expect(!page.contains("<offline>"))
        #expect(page.contains("fails &amp; returns"))
    }

    @Test func aBandStandsWhereItsFaultStruck() throws {
        let page = TimelinePage.html(of: run())
        // The plot is 820 wide from 170: 2 of 10 s are at 334, 3 s are 246 wide.
        #expect(page.contains("<rect class=\"band\" x=\"334\" y=\"24\" width=\"246\""))
    }

    @Test func thousandsOfPointsAreThinnedOut() throws {
        let page = TimelinePage.html(of: run())
        let path = try #require(page.split(separator: "d=\"M").last?.prefix { $0 != "\"" })
        #expect(path.split(separator: "L").count <= 510)
    }

    @Test func aLineBreaksWhereNothingWasMeasured() {
        var gap = run()
        gap.charts[0].lines[0].points = [0, 1, 2, 3, 8, 9, 10].map {
            TimelineRun.Point(microseconds: $0 * 1_000_000, value: 1)
        }
        let page = TimelinePage.html(of: gap)
        #expect(page.components(separatedBy: "<path").count == 3)
    }

    @Test func nothingMeasuredAndNoTimeIsStillAPage() {
        var empty = run()
        empty.endMicroseconds = 0
        empty.charts[0].lines[0].points = []
        #expect(TimelinePage.html(of: empty).contains("</html>"))
    }

    @Test func axesHoldTheirValues() {
        let linear = ChartAxis(values: [3, 87], unit: .count)
        #expect(linear.ticks == [0, 50, 100])
        #expect(linear.place(of: 50) == 0.5)
        let bytes = ChartAxis(values: [900 * 1_048_576], unit: .bytesPerSecond)
        #expect(bytes.ticks == [0, 500, 1000].map { $0 * 1_048_576 })
        let times = ChartAxis(values: [120, 90_000], unit: .microseconds)
        #expect(linear.powersOfTenApart == nil && times.powersOfTenApart == 1)
        #expect(times.ticks == [100, 1000, 10_000, 100_000])
        #expect(abs(times.place(of: 1000) - 1.0 / 3) < 1e-9)
        let wide = ChartAxis(values: [20, 3_000_000], unit: .microseconds)
        #expect(wide.powersOfTenApart == 2)
        #expect(wide.ticks == [10, 1000, 100_000, 10_000_000])
        #expect(ChartAxis(values: [], unit: .count).ticks.first == 0)
    }

    @Test func figuresAreShort() {
        #expect(FigureText.time(0) == "0")
        #expect(FigureText.time(1_500) == "1.5 ms")
        #expect(FigureText.time(30_000_000) == "30 s")
        #expect(FigureText.text(1_572_864, .bytesPerSecond) == "1.5 MiB/s")
        #expect(FigureText.text(12_345, .requestsPerSecond) == "12.3 k/s")
        #expect(FigureText.text(0.25, .count) == "0.25")
        #expect(FigureText.fixed(-1.25, decimals: 1) == "-1.3")
        #expect(FigureText.fixed(3, decimals: 0) == "3")
    }
}
