// TimelinePage: the picture of a run as one HTML file that needs nothing else: what was tried, how
// it ended, the drawing, and how to read it.
//
// Always holds: no script, nothing fetched; every text from outside is escaped.

package enum TimelinePage {
    package static func html(of run: TimelineRun) -> String {
        let title = FigureText.escaped(run.title)
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(title)</title>
            <style>\(style)</style></head>
            <body><main>
            <h1>\(title)</h1>
            <p class="introduction">\(FigureText.escaped(run.introduction))</p>
            <p class="verdict \(run.verdictTone.rawValue)"><strong>\
            \(FigureText.escaped(run.verdict.name))</strong> \
            \(FigureText.escaped(run.verdict.value))</p>
            \(TimelineDrawing.svg(of: run))
            <p class="reading">Time runs to the right and is the same for every row. A violet \
            band shows a fault for as long as it struck, so that what it did stands below it. A \
            line that breaks off had nothing to measure there. \
            \(FigureText.escaped(run.reading))</p>
            <div class="tables">\(table(run.totals, "Counted"))\(table(run.facts, "The run"))</div>
            </main></body></html>

            """
    }

    private static func table(_ facts: [TimelineRun.Fact], _ heading: String) -> String {
        guard !facts.isEmpty else { return "" }
        let rows = facts.map {
            "<tr><th>\(FigureText.escaped($0.name))</th>"
                + "<td>\(FigureText.escaped($0.value))</td></tr>"
        }
        return "<section><h2>\(FigureText.escaped(heading))</h2>\n<table>\(rows.joined())"
            + "</table></section>\n"
    }

    private static let style = """
        :root { color-scheme: light dark; --ink: #1d1d1f; --soft: #6a6a70; --paper: #fff;
          --grid: #e4e4e8; --good: #cfe8d2; --good-ink: #1b5e20; --warning: #ffd98a;
          --warning-ink: #6b4400; --bad: #c62828; --bad-ink: #fff; --fault: #7b3fa0;
          --fault-ink: #fff; --neutral: #dcdce2; --neutral-ink: #333; --band: #7b3fa0;
          --c0: #0b63b0; --c1: #d35400; --c2: #14805e; --c3: #a33a8a; --c4: #8a6d00;
          --c5: #4b4b55; }
        @media (prefers-color-scheme: dark) { :root { --ink: #ececf0; --soft: #a0a0a8;
          --paper: #17171a; --grid: #2e2e34; --good: #1f4526; --good-ink: #c8f0cc;
          --warning: #7a5500; --warning-ink: #ffe3a8; --neutral: #3a3a42; --neutral-ink: #ddd;
          --band: #b98ad6; --c0: #6db3f2; --c1: #ff9a57; --c2: #4fc79f; --c3: #e08bcb;
          --c4: #d9bd4f; --c5: #b8b8c4; } }
        body { margin: 0; background: var(--paper); color: var(--ink);
          font: 15px/1.5 system-ui, "Liberation Sans", "DejaVu Sans", sans-serif; }
        main { max-width: 1120px; margin: 0 auto; padding: 24px; }
        h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 24px 0 6px; }
        .introduction { margin: 0 0 12px; color: var(--soft); max-width: 80ch; }
        .verdict { padding: 8px 14px; border-radius: 6px; margin: 0 0 20px; }
        .verdict.good { background: var(--good); color: var(--good-ink); }
        .verdict.bad { background: var(--bad); color: var(--bad-ink); }
        .verdict.warning { background: var(--warning); color: var(--warning-ink); }
        .reading { color: var(--soft); max-width: 80ch; font-size: 13px; }
        .introduction:empty { display: none; }
        svg { width: 100%; height: auto; display: block; }
        svg text { font-size: 12px; fill: var(--ink); }
        svg .section { font-weight: 600; font-size: 13px; }
        svg .explanation, svg .tick { fill: var(--soft); }
        svg .middle { text-anchor: middle; }
        svg .grid { stroke: var(--grid); stroke-width: 1; }
        svg .band { fill: var(--band); opacity: .12; }
        svg .bar.good { fill: var(--good); } svg .inside.good { fill: var(--good-ink); }
        svg .bar.warning { fill: var(--warning); } svg .inside.warning { fill: var(--warning-ink); }
        svg .bar.bad { fill: var(--bad); } svg .inside.bad { fill: var(--bad-ink); }
        svg .bar.fault { fill: var(--fault); } svg .inside.fault { fill: var(--fault-ink); }
        svg .bar.neutral { fill: var(--neutral); } svg .inside.neutral { fill: var(--neutral-ink); }
        svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
        svg .c0 { stroke: var(--c0); } svg .c1 { stroke: var(--c1); } svg .c2 { stroke: var(--c2); }
        svg .c3 { stroke: var(--c3); } svg .c4 { stroke: var(--c4); } svg .c5 { stroke: var(--c5); }
        svg .label { stroke: none; font-weight: 600; }
        svg .label.c0 { fill: var(--c0); } svg .label.c1 { fill: var(--c1); }
        svg .label.c2 { fill: var(--c2); } svg .label.c3 { fill: var(--c3); }
        svg .label.c4 { fill: var(--c4); } svg .label.c5 { fill: var(--c5); }
        .tables { display: flex; flex-wrap: wrap; gap: 0 64px; }
        .tables section { flex: 1 1 320px; min-width: 0; }
        table { border-collapse: collapse; font-size: 14px; }
        th { text-align: left; font-weight: 400; color: var(--soft); padding: 2px 24px 2px 0;
          vertical-align: top; white-space: nowrap; }
        td { padding: 2px 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
        """
}
