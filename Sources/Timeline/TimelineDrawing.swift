// TimelineDrawing: lanes and charts over one time, as SVG.
//
// Always holds: all rows share the horizontal axis, and a fault's band goes through all of them, so
// that cause and effect stand above one another. Nothing is told by colour alone.

struct TimelineDrawing {
    private let run: TimelineRun
    private var body = ""
    private var top = 0.0

    private static let width = 1120.0
    private static let left = 170.0
    private static let right = 130.0
    private static let laneHeight = 26.0
    private static let chartHeight = 110.0
    private static let mostPoints = 500
    private static let lineColours = 6

    private static var plotWidth: Double { width - left - right }

    static func svg(of run: TimelineRun) -> String {
        var drawing = TimelineDrawing(run)
        return drawing.draw()
    }

    private init(_ run: TimelineRun) { self.run = run }

    private mutating func draw() -> String {
        drawSection("Faults struck", run.faults)
        drawSection("What the store said", run.lanes)
        for chart in run.charts { draw(chart) }
        let bottom = top
        drawTimeAxis()
        let bands = run.faults.flatMap(\.spans).map { band($0, to: bottom) }.joined()
        return """
            <svg viewBox="0 0 \(Self.number(Self.width)) \(Self.number(top))" role="img" \
            aria-label="\(FigureText.escaped(run.title)), over its time">
            \(grid(to: bottom))\(bands)\(body)</svg>
            """
    }

    // MARK: Time

    /// A microsecond's place.
    private func x(_ microseconds: UInt64) -> Double {
        let end = Double(max(1, run.endMicroseconds))
        return Self.left + Self.plotWidth * min(1, Double(microseconds) / end)
    }

    private var timeTicks: [UInt64] {
        let step = max(1, ChartAxis.step(for: Double(run.endMicroseconds), parts: 8))
        return stride(from: 0, through: Double(run.endMicroseconds), by: step).map { UInt64($0) }
    }

    private func grid(to bottom: Double) -> String {
        timeTicks.map { line("grid", x($0), 0, x($0), bottom) }.joined()
    }

    private mutating func drawTimeAxis() {
        for tick in timeTicks {
            body += text("tick middle", x(tick), top + 16, FigureText.time(Double(tick)))
        }
        body += text("tick", Self.left + Self.plotWidth + 10, top + 16, "virtual time")
        top += 26
    }

    // MARK: Lanes

    private mutating func drawSection(_ heading: String, _ lanes: [TimelineRun.Lane]) {
        guard !lanes.isEmpty else { return }
        body += text("section", 0, top + 16, heading)
        top += 24
        for lane in lanes {
            body += text("name", Self.left - 12, top + 17, lane.heading, anchor: "end")
            for (place, span) in lane.spans.enumerated() {
                let next = lane.spans.dropFirst(place + 1).first
                body += bar(span, roomTo: next.map { x($0.fromMicroseconds) } ?? Self.width)
            }
            top += Self.laneHeight
        }
        top += 10
    }

    /// `roomTo` is where the next bar begins.
    private func bar(_ span: TimelineRun.Span, roomTo: Double) -> String {
        let start = x(span.fromMicroseconds)
        let width = max(3, x(span.toMicroseconds) - start)
        let label = FigureText.escaped(span.label)
        let times =
            "\(FigureText.time(Double(span.fromMicroseconds))) to "
            + FigureText.time(Double(span.toMicroseconds))
        var bar =
            "<g><title>\(label), \(times)</title>"
            + "<rect class=\"bar \(span.tone.rawValue)\" x=\"\(Self.number(start))\" "
            + "y=\"\(Self.number(top + 3))\" width=\"\(Self.number(width))\" height=\"20\" "
            + "rx=\"3\"/>"
        // About 6.4 a letter; what doesn't fit stands behind its bar, if there is room, and can
        // always be read by pointing at it.
        let needed = Double(span.label.count) * 6.4 + 10
        if needed <= width {
            bar += text("inside \(span.tone.rawValue)", start + 6, top + 17, span.label)
        } else if start + width + needed < roomTo {
            bar += text("beside", start + width + 4, top + 17, span.label)
        }
        return bar + "</g>"
    }

    private func band(_ span: TimelineRun.Span, to bottom: Double) -> String {
        let start = x(span.fromMicroseconds)
        let width = max(1.5, x(span.toMicroseconds) - start)
        return "<rect class=\"band\" x=\"\(Self.number(start))\" y=\"24\" "
            + "width=\"\(Self.number(width))\" height=\"\(Self.number(bottom - 24))\"/>"
    }

    // MARK: Charts

    private mutating func draw(_ chart: TimelineRun.Chart) {
        let values = chart.lines.flatMap { $0.points.map(\.value) }
        let axis = ChartAxis(values: values, unit: chart.unit)
        body += text("section", 0, top + 16, chart.heading)
        let remark =
            axis.powersOfTenApart.map { " Each line up is \($0 == 1 ? 10 : 100) times more." } ?? ""
        body += text("explanation", Self.left, top + 16, chart.explanation + remark)
        top += 26
        let bottom = top + Self.chartHeight
        func y(_ value: Double) -> Double { bottom - Self.chartHeight * axis.place(of: value) }
        for tick in axis.ticks {
            body += line("grid", Self.left, y(tick), Self.left + Self.plotWidth, y(tick))
            body += text(
                "tick", Self.left - 12, y(tick) + 4, FigureText.text(tick, chart.unit),
                anchor: "end")
        }
        for (number, series) in chart.lines.enumerated() {
            let colour = number % Self.lineColours
            for path in paths(series, y) {
                body += "<path class=\"line c\(colour)\" d=\"\(path)\"/>"
            }
        }
        drawLabels(chart.lines, y)
        top = bottom + 20
    }

    /// The lines' names beside their ends, from top to bottom, none over another.
    private mutating func drawLabels(_ lines: [TimelineRun.Line], _ y: (Double) -> Double) {
        let ends = lines.indices.compactMap { number in
            lines[number].points.last.map { (number: number, y: y($0.value)) }
        }.sorted { $0.y < $1.y }
        let lowest = top + Self.chartHeight
        var next = top
        for (place, end) in ends.enumerated() {
            let below = Double(ends.count - place - 1) * 14
            let height = min(max(end.y, next), lowest - below)
            body += text(
                "label c\(end.number % Self.lineColours)", Self.left + Self.plotWidth + 10,
                height + 4, lines[end.number].label)
            next = height + 14
        }
    }

    /// A path for each stretch without a gap; a gap is where nothing was measured.
    private func paths(_ line: TimelineRun.Line, _ y: (Double) -> Double) -> [String] {
        let points = Self.thinned(line.points)
        let gaps = zip(points, points.dropFirst()).map { $1.microseconds - $0.microseconds }
        let usual = gaps.sorted().dropFirst(gaps.count / 2).first ?? 0
        var paths: [String] = []
        var path = ""
        for (place, point) in points.enumerated() {
            if place > 0, gaps[place - 1] > 3 * max(1, usual) {
                paths.append(path)
                path = ""
            }
            path +=
                "\(path.isEmpty ? "M" : "L")"
                + "\(Self.number(x(point.microseconds))) \(Self.number(y(point.value)))"
        }
        return (paths + [path]).filter { !$0.isEmpty }
    }

    /// At most about `mostPoints`: of each stretch its least and its most.
    private static func thinned(_ points: [TimelineRun.Point]) -> [TimelineRun.Point] {
        guard points.count > mostPoints else { return points }
        let size = (points.count * 2 + mostPoints - 1) / mostPoints
        return stride(from: 0, to: points.count, by: size).flatMap { start in
            let stretch = points[start..<min(start + size, points.count)]
            let least = stretch.min { $0.value < $1.value }
            let most = stretch.max { $0.value < $1.value }
            return [least, most].compactMap(\.self).sorted { $0.microseconds < $1.microseconds }
        }
    }

    // MARK: Elements

    private func text(
        _ style: String, _ x: Double, _ y: Double, _ content: String, anchor: String = "start"
    ) -> String {
        let anchored = anchor == "start" ? "" : " text-anchor=\"\(anchor)\""
        return "<text class=\"\(style)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\""
            + "\(anchored)>\(FigureText.escaped(content))</text>"
    }

    private func line(
        _ style: String, _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double
    ) -> String {
        "<line class=\"\(style)\" x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" "
            + "x2=\"\(Self.number(x2))\" y2=\"\(Self.number(y2))\"/>"
    }

    private static func number(_ value: Double) -> String {
        FigureText.fixed(value, decimals: 1)
    }
}
