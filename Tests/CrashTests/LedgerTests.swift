// The judge alone: what each history entitles to, and the name of each violation.

import Judgement
import Testing
import Wire

@Suite struct LedgerTests {
    private let key = BlockKey(namespace: Namespace(1), words: (1, 2, 3, 4))
    private let other = BlockKey(namespace: Namespace(1), words: (1, 2, 3, 5))
    private let first: [UInt8] = Array(repeating: 1, count: 100)
    private let second: [UInt8] = Array(repeating: 2, count: 100)

    /// A ledger in which `key` holds `first`, acknowledged.
    private func holdingFirst() throws -> Ledger {
        var ledger = Ledger()
        ledger.begun(1, key, leaves: .value(first))
        try ledger.answered(1, .ok)
        return ledger
    }

    @Test func anAcknowledgedPutMustBeThere() throws {
        let ledger = try holdingFirst()
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .miss)?.assertion == .acknowledgedBlockLost)
        #expect(ledger.judge(key, .refused(.busy))?.assertion == .readRefused)
    }

    @Test func anUnansweredPutMayBeThereOrNot() {
        var ledger = Ledger()
        ledger.begun(1, key, leaves: .value(first))
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .miss) == nil)
    }

    @Test func anUnfinishedOverwriteLeavesOneOfTwoValues() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, key, leaves: .value(second))
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .hit(second)) == nil)
        #expect(ledger.judge(key, .miss)?.assertion == .previousValueLost)
        try ledger.answered(2, .outcomeUnknown)
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .miss)?.assertion == .previousValueLost)
    }

    @Test func anAcknowledgedOverwriteReplaces() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, key, leaves: .value(second))
        try ledger.answered(2, .ok)
        #expect(ledger.judge(key, .hit(second)) == nil)
        #expect(ledger.judge(key, .hit(first))?.assertion == .replacedValueServed)
    }

    @Test func putsInProgressTogetherMayEndInEitherOrder() throws {
        var ledger = Ledger()
        ledger.begun(1, key, leaves: .value(first))
        ledger.begun(2, key, leaves: .value(second))
        try ledger.answered(2, .ok)
        try ledger.answered(1, .ok)
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .hit(second)) == nil)
        #expect(ledger.judge(key, .miss)?.assertion == .acknowledgedBlockLost)
    }

    @Test func aRefusedPutHasNoEffect() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, key, leaves: .value(second))
        try ledger.answered(2, .noSpace)
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .hit(second))?.assertion == .refusedValueServed)
    }

    @Test func aDeletedBlockStaysAway() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, key, leaves: .absent)
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .miss) == nil)
        try ledger.answered(2, .ok)
        #expect(ledger.judge(key, .miss) == nil)
        #expect(ledger.judge(key, .hit(first))?.assertion == .deletedBlockResurrected)
    }

    @Test func aDeleteThatFindsNothingTellsOfALoss() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, key, leaves: .absent)
        #expect(throws: Violation.self) { try ledger.answered(2, .notFound) }
    }

    @Test func bytesOfNobodyAndOfAnotherKeyHaveTheirNames() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, other, leaves: .value(second))
        try ledger.answered(2, .ok)
        #expect(ledger.judge(key, .hit(second))?.assertion == .foreignBytesServed)
        #expect(ledger.judge(key, .hit([7, 7]))?.assertion == .damagedBytesServed)
    }

    @Test func whatRecoveryShowedStays() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, key, leaves: .value(second))
        try ledger.observe(key, .hit(second), isAfterPowerCut: true)
        #expect(ledger.judge(key, .hit(second)) == nil)
        #expect(ledger.judge(key, .hit(first))?.assertion == .outcomeChangedAfterRecovery)
        #expect(ledger.judge(key, .miss)?.assertion == .outcomeChangedAfterRecovery)
    }

    @Test func evictionIsBoundedByItsPermission() throws {
        var ledger = try holdingFirst()
        ledger.begun(2, other, leaves: .value(second))
        try ledger.answered(2, .ok)
        ledger.permitEviction(bytes: 150)
        try ledger.observe(key, .miss, isAfterPowerCut: true)
        #expect(ledger.judge(other, .miss)?.assertion == .evictedBeyondPermission)
        ledger.endObservation()
        #expect(ledger.judge(other, .miss)?.assertion == .acknowledgedBlockLost)
        #expect(ledger.judge(other, .hit(second)) == nil)
    }

    @Test func aFaultThatMayCostABlockLeavesItOrNothing() throws {
        var ledger = try holdingFirst()
        ledger.mayBeLost(key)
        #expect(ledger.judge(key, .hit(first)) == nil)
        #expect(ledger.judge(key, .miss) == nil)
        #expect(ledger.judge(key, .hit(second)) != nil)
    }

    @Test func anAnswerComesOnce() throws {
        var ledger = try holdingFirst()
        #expect(throws: Violation.self) { try ledger.answered(1, .ok) }
        #expect(throws: Violation.self) { try ledger.answered(99, .ok) }
    }

    @Test func standingMeansAcknowledgedAndStillLegal() throws {
        var ledger = try holdingFirst()
        #expect(ledger.isStanding(key, value: first))
        ledger.begun(2, key, leaves: .value(second))
        #expect(ledger.isStanding(key, value: first))
        #expect(!ledger.isStanding(key, value: second))
        try ledger.answered(2, .ok)
        #expect(!ledger.isStanding(key, value: first))
        #expect(ledger.isStanding(key, value: second))
    }
}
