// Asking a daemon to stop: seen by whoever looks, whenever it was asked.

#if IOUring

import Testing

@testable import memkvd

@Suite struct DaemonControlTests {
    @Test func theFirstReasonIsTheReason() {
        let control = DaemonControl()
        #expect(!control.stopIsRequested)
        #expect(control.reason == nil)
        control.stop(reason: "SIGTERM")
        control.stop(reason: "SIGINT")
        #expect(control.stopIsRequested)
        #expect(control.reason == "SIGTERM")
    }

    @Test func theFirstFailureDecidesTheExitCode() {
        let ending = Ending()
        #expect(ending.failure == nil)
        ending.record(StartFailure(code: .addressInUse, message: "first"))
        ending.record(StartFailure(code: .failed, message: "second"))
        #expect(ending.failure?.code == .addressInUse)
        #expect(ending.failure?.message == "first")
    }
}

#endif
