// fuzz TARGET [options of libFuzzer] [corpus folders or inputs]: runs one fuzz target.
//
// Always holds: a target keeps nothing from one input to the next, so that an input by itself
// repeats what it did. MEMKV_FUZZ_PLANT names a planted bug that the run must find.
//
// One of the files that may say `unsafe`.

import CFuzzer
import Glibc

/// What can be fuzzed.
enum FuzzTarget: String, CaseIterable {
    case frame, session, client, pages, recovery, check

    func run(_ input: inout FuzzInput) {
        switch self {
        case .frame: FrameTarget.run(&input)
        case .session: SessionTarget.run(&input)
        case .client: ClientTarget.run(&input)
        case .pages: PageTarget.run(&input)
        case .recovery: RecoveryTarget.run(&input)
        case .check: CheckTarget.run(&input)
        }
    }
}

@main
struct Main {
    /// Named in the environment, so that libFuzzer's child processes know it.
    private static let variable = "MEMKV_FUZZ_TARGET"
    private static let chosen = environment(variable).flatMap(FuzzTarget.init(rawValue:))

    static func main() {
        var arguments = unsafe CommandLine.unsafeArgv
        var count = CommandLine.argc
        if count > 1, let target = FuzzTarget(rawValue: CommandLine.arguments[1]) {
            unsafe setenv(variable, target.rawValue, 1)
            unsafe arguments[1] = arguments[0]
            unsafe arguments += 1
            count -= 1
        }
        guard chosen != nil else {
            let names = FuzzTarget.allCases.map(\.rawValue).joined(separator: ", ")
            fatalError("name a target first: \(names)")
        }
        keepMemory()
        var start: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe arguments
        exit(unsafe LLVMFuzzerRunDriver(&count, &start, runOne))
    }

    /// Engines come and go by the thousand: what one gave back is kept for the next.
    private static func keepMemory() {
        mallopt(M_MMAP_THRESHOLD, 1 << 30)
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
    }

    static func run(_ input: inout FuzzInput) { chosen?.run(&input) }
}

/// libFuzzer's way in.
private func runOne(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    var input = unsafe FuzzInput(bytes, count: count)
    Main.run(&input)
    return 0
}

/// A variable of the environment, nil where it isn't set.
func environment(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
}
