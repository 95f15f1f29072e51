// CrashRecorder: every instant of a run at which the power may go, with what would be found then.
//
// Always holds: points are taken before and after each operation's submission and after its
// completion, and at the end; two neighbours with the same drives and the same ledger are one
// point.

import Engine
import Judgement
import Sim

/// An instant at which the power may go.
struct CrashPoint {
    let moment: DeviceMoment?
    let operation: UInt64
    let state: CrashState
    let ledger: Ledger

    /// For reports: "after-completion of operation 12".
    var description: String {
        switch moment {
        case .beforeSubmission: "before operation \(operation)"
        case .afterSubmission: "with operation \(operation) in flight"
        case .afterCompletion: "after operation \(operation) completed"
        case nil: "at the end"
        }
    }
}

/// Records a session's crash points.
final class CrashRecorder {
    private(set) var points: [CrashPoint] = []
    /// Instants seen, those with nothing new to find included.
    private(set) var instants = 0
    private var last: (state: UInt64, ledger: UInt64)?

    /// Begins to record `session`; `finish` ends it.
    func attach<Store: StoreUnderTest & ~Copyable>(to session: StoreSession<Store>) {
        session.watch { [unowned self, unowned session] moment, serial, _ in
            record(session, moment, serial)
        }
    }

    /// Records the present as the last point and stops.
    func finish<Store: StoreUnderTest & ~Copyable>(_ session: StoreSession<Store>) {
        session.stopWatching()
        record(session, nil, session.device.submittedCount)
    }

    private func record<Store: StoreUnderTest & ~Copyable>(
        _ session: StoreSession<Store>, _ moment: DeviceMoment?, _ serial: UInt64
    ) {
        instants += 1
        let now = (state: session.device.stateSerial, ledger: session.ledger.revision)
        if let last, last == now { return }
        last = now
        points.append(
            CrashPoint(
                moment: moment, operation: serial, state: session.device.crashState(),
                ledger: session.ledger))
    }
}
