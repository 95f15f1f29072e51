// BuildFacts: how a program was built, as far as it can be known.

import Foundation

enum BuildFacts {
    /// What this program was compiled with.
    static let toolchain: String = {
        #if compiler(>=6.4)
        "Swift 6.4 or newer"
        #elseif compiler(>=6.3.3)
        "Swift 6.3.3 or newer"
        #elseif compiler(>=6.3.2)
        "Swift 6.3.2"
        #elseif compiler(>=6.3.1)
        "Swift 6.3.1"
        #elseif compiler(>=6.3)
        "Swift 6.3.0"
        #else
        "Swift 6.2"
        #endif
    }()

    /// This program's.
    static let kind: String = {
        #if DEBUG
        "debug"
        #else
        "release"
        #endif
    }()

    /// Of a program in a build folder, which says it; nil elsewhere.
    static func kind(ofProgram program: URL) -> String? {
        let folder = program.resolvingSymlinksInPath().deletingLastPathComponent()
            .lastPathComponent
        return ["debug", "release"].contains(folder) ? folder : nil
    }
}
