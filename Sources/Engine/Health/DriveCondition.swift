// DriveCondition: how a drive is, as operators are told: where it is in its life, what impairs it
// while it serves, why it was fenced.
//
// Always holds: one value says all of it, and cells carry it as three numbers, so that health,
// status and log can't disagree.

/// What impairs a drive that serves all the same.
package struct DriveImpairments: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// It takes several times as long as it did, or as the other drives do.
    package static let slow = DriveImpairments(rawValue: 1)
    /// It has answered too many reads with errors of single places.
    package static let mediaErrors = DriveImpairments(rawValue: 2)
    /// A write or a flush doesn't complete: writes are shed, reads go on.
    package static let writesStalled = DriveImpairments(rawValue: 4)
    /// A read doesn't complete: nothing is asked of it until one does.
    package static let unresponsive = DriveImpairments(rawValue: 8)

    private static let words: [(DriveImpairments, String)] = [
        (.slow, "slow"), (.mediaErrors, "media_errors"), (.writesStalled, "writes_stalled"),
        (.unresponsive, "unresponsive"),
    ]

    /// A word for each, as status and log have them.
    package var causes: [String] { Self.words.filter { contains($0.0) }.map(\.1) }
}

/// Why a drive was fenced.
package enum FenceCause: Hashable, Sendable {
    /// An operation failed; `code` is the system's number for it, 0 where there is none.
    case failed(DeviceAction, DeviceError, code: Int32)
    /// Reads didn't complete for longer than is waited for.
    case unresponsive
    /// Recovery read something and a moment later couldn't.
    case unreadable

    /// A word for status and log.
    package var word: String {
        switch self {
        case .failed(_, .gone, _): "gone"
        case .failed(let action, _, _): "\(action)_failed"
        case .unresponsive: "unresponsive"
        case .unreadable: "unreadable"
        }
    }

    /// The error and the system's number for it; nil where no operation failed.
    package var failure: (error: DeviceError, code: Int32)? {
        if case .failed(_, let error, let code) = self { (error, code) } else { nil }
    }

    /// As a cell holds it; 0 is none.
    var encoded: UInt64 {
        switch self {
        case .failed(let action, let error, let code):
            1 | UInt64(action.rawValue) << 8 | UInt64(error.rawValue) << 16
                | UInt64(UInt32(bitPattern: code)) << 32
        case .unresponsive: 2
        case .unreadable: 3
        }
    }

    init?(encoded: UInt64) {
        switch encoded & 0xFF {
        case 1:
            guard let action = DeviceAction(rawValue: UInt8(truncatingIfNeeded: encoded >> 8)),
                let error = DeviceError(rawValue: UInt8(truncatingIfNeeded: encoded >> 16))
            else { return nil }
            let code = Int32(bitPattern: UInt32(truncatingIfNeeded: encoded >> 32))
            self = .failed(action, error, code: code)
        case 2: self = .unresponsive
        case 3: self = .unreadable
        default: return nil
        }
    }
}

/// How a drive is.
package struct DriveCondition: Hashable, Sendable {
    package var state: DriveState
    /// Empty unless the drive is online.
    package var impairments: DriveImpairments
    /// Why an offline drive was fenced.
    package var fence: FenceCause?

    package init(
        state: DriveState, impairments: DriveImpairments = [], fence: FenceCause? = nil
    ) {
        self.state = state
        self.impairments = state == .online ? impairments : []
        self.fence = state == .offline ? fence : nil
    }

    package var isDegraded: Bool { !impairments.isEmpty }

    /// `online`, `degraded`, `offline`, `absent` or `recovering`.
    package var word: String { isDegraded ? "degraded" : "\(state)" }

    /// A word for each thing that is wrong.
    package var causes: [String] {
        if let fence { return [fence.word] }
        return impairments.causes
    }
}
