// What `memkv bench` reads of the kernel and makes of it: figures where there are any, reasons
// elsewhere; and that a wrong value isn't counted as a right one.

import Client
import Foundation
import Histogram
import History
import Testing
import Wire

@testable import memkv

@Suite struct BenchTests {
    @Test func theListenerOfALoopbackAddressIsFound() throws {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:26AC 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1 x
               1: 00000000:26AD 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4712 1 x
               2: 0100007F:26AC 0100007F:D431 01 00000000:00000000 00:00000000 00000000 0 0 4713 1 x
               3: 0105000A:26AC 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4714 1 x
            """
        func sockets(_ host: String, _ port: UInt16) throws -> [String] {
            ListeningProcess.listeningSockets(
                inTable: table, hosts: try #require(KernelAddress.hosts(thatReach: host)),
                port: port)
        }
        #expect(try sockets("127.0.0.1", 9900) == ["socket:[4711]"])
        #expect(try sockets("127.0.0.1", 9901) == ["socket:[4712]"])
        #expect(try sockets("10.0.5.1", 9900) == ["socket:[4714]"])
        // Another machine's server must not be taken for whoever listens on every address here.
        #expect(try sockets("10.0.5.1", 9901) == [])
        #expect(try sockets("127.0.0.2", 9900) == [])
        #expect(KernelAddress.hosts(thatReach: "kv.example") == nil)
        #expect(KernelAddress.hosts(thatReach: "10.0.0.256") == nil)
    }

    @Test func aServerByNameIsNotLookedFor() {
        let found = ListeningProcess.find(ServerAddress(host: "kv.example", port: 9900))
        #expect(found.reason?.contains("another machine") == true)
    }

    @Test func kernelFilesAreReadAsDocumented() {
        let io = "rchar: 1\nwchar: 2\nwrite_bytes: 40960\ncancelled_write_bytes: 3\n"
        #expect(ProcessCounters.writtenBytes(inIO: io) == .value(40960))
        #expect(ProcessCounters.writtenBytes(inIO: "rchar: 1\n").reason != nil)
        let stat = (1...17).map(String.init).joined(separator: "  ")
        #expect(DriveCounters.flushes(inStat: stat) == .value(16))
        #expect(DriveCounters.flushes(inStat: "1 2 3 4 5 6 7 8 9 10 11").reason != nil)
        #expect(DriveCounters.flushes(of: .value(["/tmp/drive-0.memkv"])).reason != nil)
        #expect(DriveCounters.flushes(of: .value([])).reason != nil)
    }

    @Test func whatIsMissingIsNeverANumber() throws {
        let figures: [Measured<UInt64>] = [.value(3), .notMeasured("why")]
        let text = String(decoding: try JSONEncoder().encode(figures), as: UTF8.self)
        #expect(text == #"[3,{"notMeasured":"why"}]"#)
        #expect(Measured.sum(figures) == .notMeasured("why"))
        #expect(Measured.sum([.value(3), .value(4)]) == .value(7))
        #expect(Measured<UInt64>.sum([]).reason != nil)
        #expect(Measured.value(UInt64(5)).since(.value(7)).reason != nil)
        #expect(Measured.value(UInt64(7)).since(.value(5)) == .value(2))
    }

    @Test func aQuantileNeedsItsSamples() {
        var latencies = Histogram<UInt64>(
            highestTrackableValue: 1_000_000, numberOfSignificantValueDigits: .three)
        for value in 1...999 { latencies.record(UInt64(value)) }
        let few = BenchCell.Latency(latencies)
        #expect(few.p50 == .value(500))
        #expect(few.p99 == .value(990))
        #expect(few.p999.reason == "fewer than 1000 samples")
        latencies.record(1000)
        #expect(BenchCell.Latency(latencies).p999 == .value(999))
        #expect(few.counts.map { $0[1] }.reduce(0, +) == 999)
    }

    @Test func putsWithoutAWrittenByteAreNotMeasured() {
        let reading = KernelReading(
            clientProcessor: .value(1), serverProcessor: .notMeasured("remote"),
            writtenBytes: .value(0), flushes: .value(2))
        var counts = LoopCounts()
        counts.requests = 1
        counts.bytes = 1 << 30
        counts.nanoseconds = 1_000_000_000
        let load = BenchLoad(kind: .blocks(valueBytes: 1 << 20), inFlight: 1, connections: 1)
        func cell(_ operation: BenchCell.Operation) -> BenchCell {
            let round = BenchRound(number: 0, counts: counts, kernel: reading)
            let rounds = BenchCellRounds(operation: operation, load: load, rounds: [round])
            return BenchCell(rounds, drives: .value(["/x"]))
        }
        let put = cell(.put)
        #expect(put.writtenBytesPerAcknowledgedByte.reason != nil)
        #expect(put.flushesPerAcknowledgedGib == .value(2))
        #expect(put.serverProcessorSecondsPerGib == .notMeasured("remote"))
        #expect(put.bytesPerSecond == .value(Double(1 << 30)))
        #expect(cell(.get).flushes.reason != nil)
    }

    @Test func aCellIsTheSumOfItsRounds() {
        // Recorded to three digits: 3000 is kept as the highest of its neighbours, 3001.
        let load = BenchLoad(kind: .blocks(valueBytes: 1 << 20), inFlight: 1, connections: 1)
        let rounds = (0..<3).map { number in
            var counts = LoopCounts()
            counts.requests = 2
            counts.bytes = 2 << 20
            counts.nanoseconds = 1_000_000
            counts.latencies.record(UInt64(number + 1) * 1000, count: 2)
            return BenchRound(
                number: number, counts: counts,
                kernel: KernelReading(
                    clientProcessor: .value(5), serverProcessor: .value(UInt64(number)),
                    writtenBytes: .notMeasured("why"), flushes: .value(1)))
        }
        let cell = BenchCell(
            BenchCellRounds(operation: .put, load: load, rounds: rounds), drives: .value(["/x"]))
        #expect(cell.requests == 6)
        #expect(cell.bytes == 6 << 20)
        #expect(cell.nanoseconds == 3_000_000)
        #expect(cell.serverProcessorNanoseconds == .value(3))
        #expect(cell.writtenBytes == .notMeasured("why"))
        #expect(cell.latencyNanoseconds.counts == [[1000, 2], [2000, 2], [3001, 2]])
        #expect(cell.rounds.map(\.serverProcessorNanoseconds) == [0, 1, 2].map { .value($0) })
        // The history has a sample for each round, and none of what wasn't measured.
        let quantities = cell.series.map(\.quantity)
        #expect(
            quantities == [
                "throughput", "median time", "server processor time", "client processor time",
            ])
        #expect(cell.series[0].samples.map(\.position) == [0, 1, 2])
        #expect(cell.series[1].samples.map(\.value) == [1000, 2000, 3000])
    }

    @Test func theMachinesBusyTimeIsReadAsDocumented() {
        let stat = "cpu  100 1 20 9999 50 3 4 2 7 0\ncpu0 1 2 3\n"
        #expect(BenchMoment.busyNanoseconds(inStat: stat) == 130 * 10_000_000)
        #expect(BenchMoment.busyNanoseconds(inStat: "intr 1 2\n") == nil)
    }

    @Test func aProfileThatMeasuresOtherwiseHasAnotherText() {
        #expect(Set(BenchProfile.allCases.map(\.text)).count == BenchProfile.allCases.count)
        #expect(BenchProfile.quick.leastMicroseconds < 60_000_000)
    }

    @Test func aValueOfAnotherKeyIsFoundOut() {
        let blocks = BenchBlocks(seed: 5, namespace: Namespace(1))
        let memory = blocks.memory(0, bytes: 3 * 4096)
        blocks.stamp(memory, as: 7)
        #expect(blocks.isStamped(memory, as: 7))
        #expect(!blocks.isStamped(memory, as: 8))
        #expect(!BenchBlocks(seed: 6, namespace: Namespace(1)).isStamped(memory, as: 7))
        // One page of another block is enough.
        memory.store(word: memory.loadWord(at: 0), at: 4096)
        #expect(!blocks.isStamped(memory, as: 7))
    }

    @Test func figuresAreWrittenToThreeDigits() {
        #expect(
            [0.01234, 1.234, 12.34, 123.4, 123_456.7].map(BenchTable.digits) == [
                "0.012", "1.23", "12.3", "123", "123457",
            ])
        #expect(
            [1_500, 2_340_000, 1_200_000_000].map(BenchTable.duration) == [
                "1.50 µs", "2.34 ms", "1.20 s",
            ])
    }
}
