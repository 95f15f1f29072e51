// DriveBench: what tests of drive states do to a bench: slow a drive down, stall it, let time pass.

@testable import Engine
import Sim
import Testing
import Wire

extension EngineBench {
    /// A number whose key belongs to `drive`, the first from `first` on.
    func number(on drive: Int, from first: UInt64 = 0) -> UInt64 {
        var number = first
        while engine.placement.home(of: Self.key(number)).drive != DriveIndex(UInt16(drive)) {
            number += 1
        }
        return number
    }

    /// `count` of them.
    func numbers(on drive: Int, count: Int, from first: UInt64 = 0) -> [UInt64] {
        var numbers: [UInt64] = []
        var next = first
        for _ in 0..<count {
            numbers.append(number(on: drive, from: next))
            next = numbers[numbers.count - 1] + 1
        }
        return numbers
    }

    /// Has what is submitted to `drive` from now on take so long.
    func stall(_ actions: [DeviceAction], on drive: Int, seconds: UInt64) {
        var latency = DriveLatency()
        for action in actions {
            latency.set(action, fixedMicroseconds: seconds * 1_000_000, randomMicroseconds: 0)
        }
        device.setLatency(latency, of: DriveIndex(UInt16(drive)))
    }

    /// Has everything submitted to `drive` from now on take `factor` times as long as usual.
    func slow(_ drive: Int, by factor: UInt64) {
        var latency = DriveLatency()
        for action in DeviceAction.allCases {
            let index = Int(action.rawValue)
            latency.fixedMicroseconds[index] *= factor
            latency.randomMicroseconds[index] *= factor
        }
        device.setLatency(latency, of: DriveIndex(UInt16(drive)))
    }

    /// The drive is as quick as ever, for what is submitted from now on.
    func restore(_ drive: Int) { slow(drive, by: 1) }

    /// The drive answers nothing any more.
    func takeAway(_ drive: Int) {
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        device.setFaults(faults, of: DriveIndex(UInt16(drive)))
    }

    /// Lets `milliseconds` pass; `meanwhile` is called whenever the engine has nothing to do.
    func pass(milliseconds: UInt64, meanwhile: () throws -> Void = {}) throws {
        let end = world.now.advanced(byMicroseconds: milliseconds * 1000)
        var busySteps = 0
        while true {
            if engine.step(now: world.now) || device.hasCompletion {
                busySteps += 1
                if busySteps > 20_000 { throw BenchFailure(description: "it spins") }
                continue
            }
            busySteps = 0
            try meanwhile()
            if world.now >= end { return }
            let soon = world.now.advanced(byMicroseconds: 1)
            world.advance(
                to: min(end, max(soon, min(engine.nextWake, device.nextEventTime ?? .never))))
            device.advance()
        }
    }

    /// A batch of puts of 100 bytes each, the same ones under every key.
    static func batchPut(of keys: [BlockKey]) -> RequestOrder {
        let value = Self.value(7, 100)
        let checksum = unsafe value.withUnsafeBytes { unsafe Digest.xxh3($0) }
        var words: [UInt64] = []
        var payload: [UInt8] = []
        for key in keys {
            let keyWords = key.littleEndianWords
            words += [keyWords[0], keyWords[1], keyWords[2], keyWords[3], 100, checksum]
            let offset = BodyLayout.nextBatchOffset(after: UInt64(payload.count), lengthBytes: 0)
            payload += [UInt8](repeating: 0, count: Int(offset) - payload.count) + value
        }
        return RequestOrder(operation: .tcpBatchPut, bodyWords: words, payload: payload)
    }

    /// The answer to a request that was sent, nil while there is none.
    func reply(to number: RequestNumber) -> Reply? { replies[number] }

    func condition(_ drive: Int) -> DriveCondition {
        engine.driveCondition(DriveIndex(UInt16(drive)))
    }

    func counter(_ counter: DriveCounter, of drive: Int) -> UInt64 {
        engine.cells.drives[drive].value(counter)
    }
}

extension BenchSettings {
    /// Four drives.
    static var four: BenchSettings {
        var settings = BenchSettings()
        settings.driveCount = 4
        return settings
    }
}
