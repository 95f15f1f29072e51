// UnfinishedFiles: temporary files that must not outlive the process: removed when a signal ends
// it.
//
// Always holds: SIGINT, SIGTERM and SIGHUP still end the process as they would have, once the files
// are gone. Only from the first file on: before it, signals do what they always do. kill -9 leaves
// the files. One of the files that may say `unsafe`.

import Foundation
import Glibc
import Synchronization

enum UnfinishedFiles {
    private struct State {
        var paths: Set<String> = []
        var sources: [any DispatchSourceSignal] = []
    }

    private static let state = Mutex(State())

    static func add(_ path: String) {
        state.withLock { state in
            if state.sources.isEmpty {
                state.sources = [SIGINT, SIGTERM, SIGHUP].compactMap(watch)
            }
            state.paths.insert(path)
        }
    }

    /// It is finished, or gone.
    static func remove(_ path: String) {
        state.withLock { _ = $0.paths.remove(path) }
    }

    private static func watch(_ signalNumber: Int32) -> (any DispatchSourceSignal)? {
        // What was ignored when memkv started stays so: nohup.
        let before = signal(signalNumber, SIG_IGN)
        guard before == nil else { return nil }
        let source = DispatchSource.makeSignalSource(signal: signalNumber, queue: .global())
        source.setEventHandler { end(by: signalNumber) }
        source.resume()
        return source
    }

    private static func end(by signalNumber: Int32) {
        // The lock is kept: nothing is finished or begun any more.
        state.withLock { state in
            for path in state.paths { LocalFiles.remove(path) }
            signal(signalNumber, SIG_DFL)
            // Dispatch blocks what it watches.
            var signals = sigset_t()
            unsafe sigemptyset(&signals)
            unsafe sigaddset(&signals, signalNumber)
            unsafe pthread_sigmask(SIG_UNBLOCK, &signals, nil)
            raise(signalNumber)
            exit(128 + signalNumber)
        }
    }
}
