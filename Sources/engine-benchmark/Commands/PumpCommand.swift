// pump: what a verified transfer over loopback costs without a store.

#if IOUring

import ArgumentParser

struct PumpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pump",
        abstract: "Sends blocks over a loopback socket, hashed at both ends, and nothing else.")

    @Option(help: "Blocks to send, after as many as the pool holds to warm up.") var blocks = 256
    @Option(help: "Bytes of a block, a multiple of 8.") var blockBytes = 4 << 20
    @Option(help: "Bytes of each end's pool; more than the caches hold.") var poolBytes = 256 << 20

    func validate() throws {
        guard blocks > 0, blockBytes > 0, blockBytes % 8 == 0, poolBytes >= blockBytes else {
            throw ValidationError("a pump needs blocks of whole words and a pool for one at least")
        }
    }

    func run() throws {
        let held = poolBytes / blockBytes
        let run = try LoopbackPump.run(
            PumpPlan(
                blockBytes: blockBytes, poolBytes: held * blockBytes, warmUpBlocks: held,
                blocks: blocks))
        print(
            """
            {"blocks": \(blocks), "block_bytes": \(blockBytes), "seconds": \(run.seconds), \
            "sender_processor_seconds": \(run.senderProcessorSeconds), \
            "receiver_processor_seconds": \(run.receiverProcessorSeconds)}
            """)
    }
}

#endif
