// drive: the drives of this machine, without a server.

import ArgumentParser

struct Drive: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Look at drives: what they carry, and whether it is whole. Needs no server.",
        subcommands: [DriveList.self, DriveCheckCommand.self])
}
