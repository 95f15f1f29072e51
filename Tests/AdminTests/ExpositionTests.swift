// The text that Prometheus reads: names, labels, buckets; and that a reading stands still.

import Testing

@testable import Admin
@testable import Engine

@Suite struct ExpositionTests {
    private func lines(_ fixture: Fixture) -> [String] {
        fixture.model.metrics(now: fixture.started).body.split(separator: "\n").map(String.init)
    }

    @Test func everyFamilyHasHelpAndTypeOnceAndANameOfItsOwn() {
        let names = Exposition.families.map(\.name)
        #expect(Set(names).count == names.count)
        let text = lines(Fixture(drives: [.online]))
        for family in Exposition.families {
            #expect(text.count { $0.hasPrefix("# HELP \(family.name) ") } == 1)
            #expect(text.count { $0 == "# TYPE \(family.name) \(family.kind.rawValue)" } == 1)
            #expect(!family.help.contains("\n"))
        }
    }

    @Test func aHistogramIsCumulativeAndCountsWhatItsBucketsHold() {
        let fixture = Fixture(drives: [.online])
        for value in [0, 1, 2, 3, 4, 5, 8, 9, 1 << 30] as [UInt64] {
            fixture.cells.record(value, in: .slotAllocate)
        }
        let found = lines(fixture).filter { $0.hasPrefix("memkv_allocate_duration_us") }
        #expect(
            found.prefix(5) == [
                #"memkv_allocate_duration_us_bucket{le="1"} 2"#,
                #"memkv_allocate_duration_us_bucket{le="2"} 3"#,
                #"memkv_allocate_duration_us_bucket{le="4"} 5"#,
                #"memkv_allocate_duration_us_bucket{le="8"} 7"#,
                #"memkv_allocate_duration_us_bucket{le="16"} 8"#,
            ])
        #expect(
            found.suffix(3) == [
                #"memkv_allocate_duration_us_bucket{le="+Inf"} 9"#,
                "memkv_allocate_duration_us_sum \(32 + (1 << 30))",
                "memkv_allocate_duration_us_count 9",
            ])
    }

    @Test func boundsInSecondsAreTheSameBounds() {
        let fixture = Fixture(drives: [.online])
        fixture.cells.drives[0].record(8, in: DriveTiming.flush)
        let path = #"device="/srv/drive-0",action="flush""#
        let found = lines(fixture).filter { $0.contains(path) && $0.contains("latency") }
        #expect(found.first == "memkv_device_latency_seconds_bucket{\(path),le=\"8e-06\"} 1")
        #expect(found.suffix(2).first == "memkv_device_latency_seconds_sum{\(path)} 8e-06")
    }

    @Test func labelsAreEscaped() {
        let cells = ShardCells(driveCount: 1)
        let fixture = Fixture(drives: [.online])
        let model = AdminModel(
            shards: [.init(cells: cells, drivePaths: ["/a\"b\\c\nd"])], slabs: fixture.slabs,
            blockSizeBytes: 4096, started: .now, surroundings: .none)
        #expect(
            model.metrics(now: .now).body.contains(
                #"memkv_device_slots_used{device="/a\"b\\c\nd"} 0"#))
    }

    @Test func everyBucketTakesWhatItsBoundSays() {
        for value in Array(0...70) + [1 << 26, (1 << 26) + 1, .max] as [UInt64] {
            let bucket = HistogramLayout.bucket(of: value)
            if let bound = HistogramLayout.upperBound(ofBucket: bucket) { #expect(value <= bound) }
            if bucket > 0, let below = HistogramLayout.upperBound(ofBucket: bucket - 1) {
                #expect(value > below)
            }
        }
    }

    /// Two gauges that the writer always sets to the same value, and a reader that compares them.
    @Test func aReadingHasTheGaugesOfOneStep() async {
        let cells = ShardCells(driveCount: 1)
        let drive = cells.drives[0]
        let writer = Task.detached {
            var round: UInt64 = 0
            while !Task.isCancelled {
                round += 1
                drive.beginPublication()
                drive.set(.rawBytes, to: round)
                drive.set(.blocks, to: round)
                drive.endPublication()
                // As between two steps: a writer that published without pause would starve readers.
                for _ in 0..<200 { _ = drive.value(DriveGauge.rawBytes) }
            }
        }
        var seen: Set<UInt64> = []
        for _ in 0..<20_000 {
            let reading = drive.reading()
            // The writer may lose its processor between its two gauges for a long while.
            guard reading.isOfOneStep else {
                await Task.yield()
                continue
            }
            #expect(reading.value(DriveGauge.rawBytes) == reading.value(DriveGauge.blocks))
            seen.insert(reading.value(DriveGauge.blocks))
            if seen.count > 100 { break }
            await Task.yield()
        }
        writer.cancel()
        #expect(seen.count > 1)
    }

    @Test func unknownPathsAreCountedAsOne() {
        let traffic = AdminTraffic()
        traffic.note(.status)
        traffic.note(.other)
        traffic.note(.other)
        #expect(traffic.requests.map(\.count) == [0, 0, 1, 0, 2])
    }
}
