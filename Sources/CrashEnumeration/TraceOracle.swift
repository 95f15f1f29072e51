// TraceOracle: what can be seen from the device's side, without knowing what the store means.
//
// It recognises values by their stamps, and knows from the ledger which of them stand. It asserts
// two things: when a put is acknowledged, no sector of its value is still unflushed; and nobody
// writes over, or discards, a durable sector of a value that stands. A change whose acknowledgement
// leaves in the same step as the write that needed it is given until that step's end.

import Engine
import Judgement
import Sim
import Wire

/// Values by the number in their stamps.
package struct ValueBook: Sendable {
    private var entries: [UInt64: (key: BlockKey, bytes: [UInt8])] = [:]

    package init() {}

    mutating func enter(_ key: BlockKey, _ bytes: [UInt8]) {
        if bytes.count >= 16, let number = StampedValue.number(in: bytes) {
            entries[number] = (key, bytes)
        }
    }

    func entry(_ number: UInt64) -> (key: BlockKey, bytes: [UInt8])? { entries[number] }
}

/// The two assertions about a device's trace.
struct TraceOracle {
    var values: ValueBook
    private var suspicions: [(number: UInt64, sector: UInt64, action: DeviceAction)] = []

    init(values: ValueBook) { self.values = values }

    /// A put of `value` was acknowledged just now.
    func putAcknowledged(_ value: [UInt8], device: SimulatedDevice) throws(Violation) {
        guard value.count >= 16, let number = StampedValue.number(in: value) else { return }
        let isOpen = device.crashState().hasUnflushed {
            StampedValue.number(in: $0.bytes) == number
        }
        if isOpen {
            throw Violation(
                .acknowledgedBeforeFlush,
                "value \(number) was acknowledged while sectors of it were not flushed")
        }
    }

    /// An operation is about to reach the device.
    mutating func willSubmit(
        _ operation: DeviceOperation, device: SimulatedDevice, ledger: borrowing Ledger
    ) {
        guard operation.action == .write || operation.action == .discard else { return }
        let image = device.durableImage(of: operation.drive)
        let unit = UInt64(image.sectorBytes)
        let first = operation.offset.rawValue / unit
        for sector in first..<first + operation.length.rawValue / unit
        where image.isWritten(sector) {
            guard let number = StampedValue.number(in: image[sector].bytes),
                let entry = values.entry(number),
                ledger.isStanding(entry.key, value: entry.bytes)
            else { continue }
            suspicions.append((number, sector, operation.action))
            return
        }
    }

    /// The store's step has ended: a value that still stands was written over.
    mutating func endStep(ledger: borrowing Ledger) -> Violation? {
        guard !suspicions.isEmpty else { return nil }
        defer { suspicions = [] }
        for suspicion in suspicions {
            guard let entry = values.entry(suspicion.number),
                ledger.isStanding(entry.key, value: entry.bytes)
            else { continue }
            return Violation(
                .liveBlockOverwritten,
                "\(suspicion.action) of sector \(suspicion.sector), which holds value "
                    + "\(suspicion.number) of a key whose change is not acknowledged")
        }
        return nil
    }
}
