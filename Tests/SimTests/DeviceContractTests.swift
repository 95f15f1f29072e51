// The contract that real drives are held to, on the simulated ones.

import ContractSuites
import Engine
import Sim
import Testing

@Suite struct DeviceContractTests {
    @Test(arguments: [512, 4096], [UInt64(11), 12])
    func theSimulatedDriveKeepsTheContract(sectorBytes: Int, seed: UInt64) throws {
        print("device contract, sectors of \(sectorBytes), seed \(seed)")
        let memory = SimulatedMemory(length: ByteCount(1 << 20))
        let world = SimulatedWorld()
        let image = DriveImage(
            sectorBytes: sectorBytes, sectorCount: (8 << 20) / UInt64(sectorBytes),
            noiseSeed: seed)
        var device = SimulatedDevice(
            drives: [SimulatedDriveSetup(image: image)], world: world, arena: memory.arena,
            operationLimit: 64, seed: seed)
        let contract = DeviceContract<SimulatedDevice>(
            drive: DriveIndex(0), arena: memory.arena,
            memory: ArenaRange(start: ArenaOffset(0), length: ByteCount(1 << 20)), seed: seed
        ) { device in
            guard let next = device.nextEventTime else {
                preconditionFailure("the contract waits for a completion that can't come")
            }
            world.advance(to: next)
            device.advance()
        }
        try contract.checkAll(&device)
    }
}
