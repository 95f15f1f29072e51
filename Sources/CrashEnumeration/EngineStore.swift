// EngineStore: the engine, as the store under test.

package import Engine
package import Sim

/// One engine over one simulated drive.
package struct EngineStore: StoreUnderTest, ~Copyable {
    private var engine: Engine<SimulatedDevice, SimulatedTransport>

    package static func privateMemory(for configuration: EngineConfiguration) -> ByteCount {
        Engine<SimulatedDevice, SimulatedTransport>.privateMemory(for: configuration, driveCount: 1)
    }

    package static func format(
        _ device: SimulatedDevice, world: SimulatedWorld, settings: CrashSettings, arena: Arena,
        memory: ArenaRange
    ) -> String? {
        let drive = DriveIndex(0)
        let geometry = device.geometry(of: drive)
        if let impossibility = DriveFormatter.impossibility(of: settings.format, on: geometry) {
            return impossibility
        }
        var formatter = DriveFormatter(
            drive: drive, geometry: geometry, format: settings.format, arena: arena,
            memory: memory.part(at: 0, length: DriveFormatter.memoryBytes))
        var device = device
        do throws(DeviceError) {
            for _ in 0..<settings.stepBudget {
                if try formatter.step(device: &device) { return nil }
                guard let next = device.nextEventTime else {
                    return "the formatter waits for nothing"
                }
                world.advance(to: next)
                device.advance()
            }
        } catch { return "the device answered \(error)" }
        return "the formatter never ends"
    }

    package init(
        configuration: EngineConfiguration, device: SimulatedDevice, transport: SimulatedTransport,
        memory: EngineMemory
    ) {
        engine = Engine(
            configuration: configuration, device: device, transport: transport, memory: memory,
            cells: ShardCells(driveCount: 1))
    }

    package mutating func step(now: Instant) -> Bool { engine.step(now: now) }
    package var nextWake: Instant { engine.nextWake }
    package var phase: EnginePhase { engine.phase }
    package var complaint: String {
        let refusal = engine.driveRefusal(DriveIndex(0)).map { "refused: drive 0 \($0)" }
        return refusal ?? "drive 0 is \(engine.driveState(DriveIndex(0)))"
    }
    package mutating func beginDrain() { engine.beginDrain() }
    package mutating func requestCheckpoint() { engine.requestCheckpoint() }
    package mutating func requestEviction(bytes: ByteCount) { engine.requestEviction(bytes: bytes) }
    package var usedBytes: UInt64 { engine.cells.drives[0].value(.usedBytes) }
    package var blockCount: UInt64 { engine.cells.drives[0].value(.blocks) }
}
