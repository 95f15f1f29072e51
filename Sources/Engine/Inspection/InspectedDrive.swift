// InspectedDrive: a drive that is looked at and not served: reads that block until they are done.
//
// Always holds: it submits nothing but reads; when it isn't reading, nothing is in flight but what
// an `OverlayDevice` over it has submitted.

/// One drive, the first of its device, and the memory to read into.
package final class InspectedDrive<Device: BlockDevice & ~Copyable> {
    private var device: Device
    package let arena: Arena
    package let geometry: DriveGeometry
    private let waitForCompletion: (inout Device) -> Void

    /// `wait` blocks until an operation has completed, or returns at once where one has.
    package init(
        device: consuming Device, arena: Arena, wait: @escaping (inout Device) -> Void
    ) {
        geometry = device.geometry(of: DriveIndex(0))
        self.device = device
        self.arena = arena
        waitForCompletion = wait
    }

    /// Reads all of `reads`, each to its memory; the error of each, in their order.
    func read(_ reads: [(offset: ByteOffset, memory: ArenaRange)]) -> [DeviceError?] {
        var errors: [DeviceError?] = reads.map { _ in nil }
        var submitted = 0
        var finished = 0
        let limit = device.operationLimit
        while finished < reads.count {
            while submitted < reads.count, submitted - finished < limit {
                let read = reads[submitted]
                device.submit(
                    DeviceOperation(
                        action: .read, drive: DriveIndex(0), offset: read.offset,
                        length: read.memory.length, memory: read.memory.start,
                        tag: OperationTag(UInt64(submitted))))
                submitted += 1
            }
            while let completion = device.nextCompletion() {
                errors[Int(completion.tag.rawValue)] = completion.error
                finished += 1
            }
            if finished < submitted { wait() }
        }
        return errors
    }

    // MARK: For the overlay

    var operationLimit: Int { device.operationLimit }
    func submit(_ operation: DeviceOperation) { device.submit(operation) }
    func nextCompletion() -> DeviceCompletion? { device.nextCompletion() }
    func wait() { waitForCompletion(&device) }
}
