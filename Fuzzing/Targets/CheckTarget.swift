// check: the offline check looks at a drive that the input has damaged.
//
// Always holds, or the run traps: the check ends, submits nothing but reads, and finds nothing on a
// drive that nobody touched.
//
//   input   as recovery's; changes afterwards stands for comparing every value

import Engine

enum CheckTarget {
    static func run(_ input: inout FuzzInput) {
        let choice = input.byte()
        let image = FuzzImage.all[Int(choice & 7) % FuzzImage.all.count]
        let device = image.device
        device.isNewestFirst = choice & 8 != 0
        let isUntouched = input.isEmpty
        var changes = 0
        while !input.isEmpty, changes < 64 {
            image.damage(&input)
            changes += 1
        }
        if choice & 32 != 0 { image.mend() }
        device.isReadOnly = true
        let report = DriveCheck.run(
            InspectedDrive(device: device, arena: FuzzSizes.arena, wait: { _ in }),
            verifiesValues: choice & 16 != 0,
            dirtyEntryLimit: FuzzSizes.engine.dirtyEntryLimit)
        device.isReadOnly = false
        precondition(!isUntouched || report?.isClean == true, "a fault of an untouched drive")
        device.restore()
    }
}
