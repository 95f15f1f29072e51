// ServerShard: one engine with its drives and its sessions.

internal import Client
internal import Engine
internal import Sim
internal import Wire

final class ServerShard {
    let index: Int
    /// The drives' numbers among the server's.
    let numbers: [Int]
    let device: SimulatedDevice
    let sessions: SimulatedSessions
    let cells: ShardCells
    var engine: Engine<SimulatedDevice, SimulatedSessions>
    /// Evictions at the last sample.
    var seenEvictions: UInt64 = 0
    /// Blocks on their keys' second drives at the last sample.
    var seenStrays: UInt64 = 0
    /// Its last step did something, or it has never made one.
    private var isBusy = true

    init(
        index: Int, numbers: [Int], device: SimulatedDevice, sessions: SimulatedSessions,
        configuration: EngineConfiguration, memory: EngineMemory, post: ShardPost
    ) {
        self.index = index
        self.numbers = numbers
        self.device = device
        self.sessions = sessions
        cells = ShardCells(driveCount: numbers.count)
        engine = Engine(
            configuration: configuration, device: device, transport: sessions, memory: memory,
            cells: cells,
            place: ShardPlace(
                shard: ShardIndex(UInt8(index)), post: post,
                driveNumbers: numbers.map { DriveNumber(UInt16($0)) }))
    }

    /// Whether a step could do anything now.
    func wantsStep(now: Instant) -> Bool {
        isBusy || device.hasCompletion || sessions.hasWork || engine.hasNews
            || engine.nextWake <= now || sessions.remote.map { $0.hasNews } ?? false
            || sessions.nextLook <= now
    }

    /// One turn of the shard's thread.
    func step(now: Instant) {
        sessions.prepare(now: now)
        isBusy = engine.step(now: now)
        _ = engine.takePeersToWake()
        sessions.remote?.stepped(now: now)
    }

    /// When it must be stepped though nothing comes.
    func nextWake(now: Instant) -> Instant {
        let wake = min(engine.nextWake, sessions.nextLook)
        return sessions.hasWaiters ? min(wake, now.advanced(byMicroseconds: 100)) : wake
    }

    func nudge() { isBusy = true }
}
