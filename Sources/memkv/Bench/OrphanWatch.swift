// OrphanWatch: a shell that is still there when this process has ended, however it ended (kill -9
// too), and then ends the server that was started and removes its directory.
//
// Always holds: it notices the end by a pipe that only this process can write to; it does nothing
// once it was dismissed; its other streams lead nowhere, so that nobody waits for it.

import Foundation

final class OrphanWatch {
    private static let script = """
        while read -r word; do
            [ "$word" = dismissed ] && exit
            server=$word
        done
        [ -n "$server" ] && kill -KILL "$server"
        rm -rf -- "$1"
        """

    private let shell = Process()
    private let pipe = Pipe()

    /// A watch that removes `directory`.
    init(directory: String) throws(CommandFailure) {
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", Self.script, "memkv-orphan-watch", directory]
        shell.standardInput = pipe
        shell.standardOutput = FileHandle.nullDevice
        shell.standardError = FileHandle.nullDevice
        do {
            try shell.run()
        } catch {
            throw CommandFailure(.usage, "/bin/sh can't be started")
        }
    }

    /// Process `server`, of the last call, is to be ended.
    func watch(_ server: Int32) { tell("\(server)") }

    /// There is nothing left to do.
    func dismiss() {
        tell("dismissed")
        shell.waitUntilExit()
    }

    private func tell(_ word: String) {
        guard shell.isRunning else { return }
        try? pipe.fileHandleForWriting.write(contentsOf: Data((word + "\n").utf8))
    }
}
