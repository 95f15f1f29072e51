// The judge of concurrent requests by itself: what it must let pass, and what it must not.

import Judgement
import Testing
import Wire

@Suite struct RegisterLedgerTests {
    private var ledger = RegisterLedger(keyCount: 2, allowed: [])

    private func name(_ version: UInt32) -> ValueName {
        ValueName(key: 0, version: version, lengthBytes: 10 + version)
    }

    private func hit(_ version: UInt32) -> Finding {
        .hit(lengthBytes: 10 + version, checksum: UInt64(version))
    }

    private mutating func begin(_ version: UInt32) {
        ledger.begin(
            UInt64(version), key: 0, leaves: name(version), checksum: UInt64(version))
    }

    private mutating func put(_ version: UInt32) throws {
        begin(version)
        try ledger.end(UInt64(version), key: 0, status: .ok)
    }

    private mutating func read(_ finding: Finding) throws {
        try ledger.endRead(key: 0, begun: ledger.beginRead(key: 0), finding)
    }

    private mutating func violation(_ finding: Finding) -> Assertion? {
        do throws(Violation) {
            try ledger.endRead(key: 0, begun: ledger.beginRead(key: 0), finding)
            return nil
        } catch { return error.assertion }
    }

    @Test mutating func anAcknowledgedValueIsReadAndAReplacedOneIsNot() throws {
        try put(1)
        try read(hit(1))
        try put(2)
        try read(hit(2))
        #expect(violation(hit(1)) != nil)
    }

    @Test mutating func aReadBesideAPutMaySeeEither() throws {
        try put(1)
        begin(2)
        try read(hit(1))
        try read(hit(2))
        #expect(violation(hit(1)) == .replacedValueServed, "once seen, the new one stands")
    }

    @Test mutating func aReadThatBeganBeforeMaySeeWhatWasReplacedMeanwhile() throws {
        try put(1)
        let begun = ledger.beginRead(key: 0)
        try put(2)
        try ledger.endRead(key: 0, begun: begun, hit(1))
        #expect(violation(hit(1)) != nil)
    }

    @Test mutating func aBatchMayMissWhatIsReplacedMeanwhileAndNothingElse() throws {
        try put(1)
        var begun = ledger.beginRead(key: 0)
        try ledger.endRead(key: 0, begun: begun, .missOfBatch)
        #expect(throws: Violation.self) { try ledger.settle(StoreReport()) }
        try put(2)
        begun = ledger.beginRead(key: 0)
        try put(3)
        try ledger.endRead(key: 0, begun: begun, .missOfBatch)
        try ledger.settle(StoreReport())
    }

    @Test mutating func anUnknownOutcomeMayHaveHappenedAtAnyTime() throws {
        try put(1)
        begin(2)
        try ledger.end(2, key: 0, status: .outcomeUnknown)
        try read(hit(1))
        try read(hit(2))
        #expect(violation(hit(1)) != nil)
    }

    @Test mutating func afterTheStoreHasEndedAReadSettlesWhatWasUnknown() throws {
        try put(1)
        begin(2)
        try ledger.end(2, key: 0, status: .outcomeUnknown)
        ledger.storeEnded()
        try read(hit(1))
        #expect(violation(hit(2)) != nil, "it had not happened")
    }

    @Test mutating func aRefusedPutIsNeverSeen() throws {
        begin(1)
        try ledger.end(1, key: 0, status: .noSpace)
        #expect(violation(hit(1)) != nil)
        begin(2)
        try read(hit(2))
        #expect(throws: Violation.self) { try ledger.end(2, key: 0, status: .noSpace) }
    }

    @Test mutating func aDeletedValueDoesNotComeBack() throws {
        try put(1)
        ledger.begin(7, key: 0, leaves: nil, checksum: 0)
        try ledger.end(7, key: 0, status: .ok)
        try read(.miss)
        #expect(violation(hit(1)) != nil)
    }

    @Test mutating func anAnswerComesOnce() throws {
        try put(1)
        #expect(throws: Violation.self) { try ledger.end(1, key: 0, status: .ok) }
    }

    @Test mutating func aLossMustBeReportedAndAllowed() throws {
        try put(1)
        try read(.miss)
        var report = StoreReport()
        report.evictions = 5
        #expect(throws: Violation.self) { try ledger.settle(report) }
        ledger.allow(.eviction)
        try put(2)
        try read(.miss)
        try read(.miss)
        try ledger.settle(report)
        #expect(ledger.lossesFound == 2, "a block is lost once, however often it is missed")
    }

    @Test mutating func lossesAreNoMoreThanWhatWasReported() throws {
        ledger.allow(.eviction)
        var report = StoreReport()
        report.evictions = 1
        try put(1)
        try read(.miss)
        try ledger.settle(report)
        try put(2)
        try read(.miss)
        #expect(throws: Violation.self) { try ledger.settle(report) }
    }

    @Test func aValueIsKnownByEveryByte() {
        let values = BlockValues(seed: 7)
        for length in [1, 15, 16, 511, 512, 528, 4096, 10_000] {
            let name = ValueName(key: 3, version: 9, lengthBytes: UInt32(length))
            var bytes = [UInt8](repeating: 0, count: length)
            unsafe bytes.withUnsafeMutableBytes { unsafe values.fill($0, name) }
            let isKnown = unsafe bytes.withUnsafeBytes { unsafe values.matches($0, name) }
            #expect(isKnown)
            for place in [0, length / 2, length - 1] {
                var damaged = bytes
                damaged[place] ^= 1
                let passes = unsafe damaged.withUnsafeBytes { unsafe values.matches($0, name) }
                #expect(!passes)
            }
            if length >= 16 {
                let origin = unsafe bytes.withUnsafeBytes { unsafe values.origin(of: $0) }
                #expect(origin == name)
            }
        }
    }
}
