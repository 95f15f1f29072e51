// StoreUnderTest: what an enumeration needs of a store. The engine is one; a test's own store is
// another, which shows that the oracles catch what they should without the engine's help.

package import Engine
package import Sim

/// A store on simulated drives.
package protocol StoreUnderTest: ~Copyable {
    /// Arena bytes it needs for itself.
    static func privateMemory(for configuration: EngineConfiguration) -> ByteCount

    /// Makes an empty store of `device`'s drive 0, driving `world`'s time itself. Nil, or why it
    /// can't.
    static func format(
        _ device: SimulatedDevice, world: SimulatedWorld, settings: CrashSettings, arena: Arena,
        memory: ArenaRange
    ) -> String?

    init(
        configuration: EngineConfiguration, device: SimulatedDevice, transport: SimulatedTransport,
        memory: EngineMemory)

    mutating func step(now: Instant) -> Bool
    var nextWake: Instant { get }
    var phase: EnginePhase { get }
    /// Why drive 0 is refused or out of service; for reports.
    var complaint: String { get }
    mutating func beginDrain()
    mutating func requestCheckpoint()
    mutating func requestEviction(bytes: ByteCount)
    /// Bytes of the slots in use, and blocks held, as the store itself counts them.
    var usedBytes: UInt64 { get }
    var blockCount: UInt64 { get }
}
