// drive: the drives of this machine, without a server.

import ArgumentParser

struct Drive: ParsableCommand {
    #if IOUring
    private static let subcommands: [any ParsableCommand.Type] = [
        DriveList.self, DriveCheckCommand.self,
    ]
    private static let lack = ""
    #else
    private static let subcommands: [any ParsableCommand.Type] = []
    private static let lack = " This build can't: it has no io_uring."
    #endif

    static let configuration = CommandConfiguration(
        abstract: "Look at drives: what they carry, and whether it is whole. Needs no server."
            + lack,
        subcommands: subcommands)
}
