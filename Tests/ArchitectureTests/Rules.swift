// Rules: the architecture as tables, and what breaks it.
//
// Always holds: every exception is written here with its reason, and an exception that nothing
// needs any more is itself a violation, so that the lists can only shrink.

/// One broken rule.
struct Violation: Hashable, CustomStringConvertible {
    let path: String
    let line: Int
    let problem: String
    var description: String { "\(path):\(line): \(problem)" }
}

/// What holds for every file under Sources.
enum Rules {
    /// What each target may import. Imports point one way: memkvd, memkv -> backends, Admin,
    /// Settings, Client -> Engine -> Wire -> CDigest. A folder that isn't listed may not exist.
    static let allowedImports: [(folder: String, modules: Set<String>)] = [
        ("Sources/Wire/", ["CDigest"]),
        ("Sources/Engine/", ["Wire"]),
        ("Sources/Ring/", ["CIOURing", "Glibc", "Synchronization"]),
        (
            "Sources/Backends/IOUring/",
            ["CIOURing", "Engine", "Glibc", "Ring", "Synchronization", "Wire"]
        ),
        // Clients on queue pairs: over RDMA's devices, and over a simulated world's.
        ("Sources/QueuePairs/", ["Engine", "Wire"]),
        (
            "Sources/Backends/Verbs/",
            ["Engine", "QueuePairs", "Synchronization", "Verbs", "Wire"]
        ),
        // The one backend on top of another: it gives RDMA a device.
        ("Sources/Backends/SoftRoCE/", ["Glibc", "RDMA", "Synchronization", "Verbs"]),
        ("Sources/Backends/Sim/", ["Engine", "Wire"]),
        ("Sources/Verbs/", ["CVerbs", "Glibc"]),
        // What judges a simulated run knows the wire's names and nothing of the engine's types.
        ("Sources/Judgement/", ["Wire"]),
        ("Sources/CrashEnumeration/", ["Engine", "Judgement", "Sim", "Wire"]),
        (
            "Sources/crash-enumeration/",
            ["ArgumentParser", "CrashEnumeration", "Engine", "Judgement", "Sim"]
        ),
        // The core is what the simulator drives: it knows no socket and no device.
        ("Sources/Client/Core/", ["Wire"]),
        ("Sources/Client/", ["Glibc", "Synchronization", "Verbs", "Wire"]),
        (
            "Sources/Simulation/", ["Client", "Engine", "Judgement", "QueuePairs", "Sim", "Wire"]
        ),
        ("Sources/Scenarios/", ["Schema", "Settings", "Simulation"]),
        (
            "Sources/ScenarioRuns/",
            ["ArgumentParser", "Foundation", "Scenarios", "Schema", "Simulation"]
        ),
        ("Sources/memkv-sim/", ["ArgumentParser", "Foundation", "ScenarioRuns", "Simulation"]),
        (
            "Sources/engine-benchmark/",
            ["ArgumentParser", "Client", "Engine", "Glibc", "IOUring", "Ring", "Wire"]
        ),
        ("Sources/Schema/", ["Yams"]),
        ("Sources/Settings/", ["Engine", "Glibc", "Schema", "Wire"]),
        // Recorded runs and their picture: plain values, nothing of the engine's.
        ("Sources/History/", ["Foundation", "GRDB"]),
        ("Sources/Timeline/", ["Foundation"]),
        (
            "Sources/Admin/",
            [
                "Engine", "Glibc", "Hummingbird", "HummingbirdCore", "HummingbirdTLS", "Logging",
                "NIOCore", "NIOSSL", "Synchronization",
            ]
        ),
        (
            "Sources/memkvd/",
            [
                "Admin", "ArgumentParser", "Engine", "Glibc", "IOUring", "Logging", "QueuePairs",
                "RDMA", "Ring", "Schema", "Settings", "SoftRoCE", "Synchronization", "Verbs",
                "Wire",
            ]
        ),
        (
            "Sources/memkv/",
            [
                "ArgumentParser", "CBlkid", "CHTTP", "Client", "Engine", "Foundation", "Glibc",
                "Histogram", "History", "IOUring", "Ring", "ScenarioRuns", "Scenarios", "Schema",
                "Settings", "Sim", "Simulation", "SoftRoCE", "Synchronization", "Timeline", "Wire",
            ]
        ),
    ]

    /// Modules that single files may import beyond their target's list, with the reason.
    static let extraImports: [String: (module: String, reason: String)] = [
        "Sources/Engine/Memory/SlabPool.swift": (
            "Synchronization", "slabs are shared by all shards: a compare-and-swap list"
        ),
        "Sources/Engine/Ports/InboundShare.swift": (
            "Synchronization", "one share for the transports of all shards"
        ),
        "Sources/Engine/Shards/Mailbox.swift": (
            "Synchronization", "the cursors of a ring between two shards"
        ),
        "Sources/Engine/Shards/Roster.swift": (
            "Synchronization", "written by each shard, read by all"
        ),
        "Sources/Engine/Shards/Attendance.swift": (
            "Synchronization", "who is out is written by each shard, read by all"
        ),
        "Sources/Engine/Shards/ShardPost.swift": (
            "Synchronization", "who sleeps is asked by whoever sends"
        ),
        "Sources/Engine/Shards/DriveBoard.swift": (
            "Synchronization", "each drive's notes, written by its shard, read by all"
        ),
        "Sources/Engine/Observation/Cells.swift": (
            "Synchronization", "cells are read by the admin thread: relaxed loads and stores"
        ),
    ]

    /// Words that the synchronous core may not contain: it has no concurrency, no lock and no
    /// clock.
    static let bannedInCore: Set<String> = [
        "async", "await", "Task", "TaskGroup", "actor", "Mutex", "ContinuousClock",
        "SuspendingClock", "DispatchQueue", "Foundation", "Dispatch", "Thread",
    ]
    static let coreFolders = [
        "Sources/Engine/", "Sources/Wire/", "Sources/Client/Core/", "Sources/Backends/Sim/",
        "Sources/Judgement/", "Sources/QueuePairs/", "Sources/Simulation/",
    ]

    /// The files that may say `unsafe` or `@unchecked`, with the reason.
    static let unsafeFiles: [String: String] = [
        "Sources/Wire/Authentication/MessageCode.swift": "passes its own memory to the C digests",
        "Sources/Wire/Digest.swift": "passes memory to the C digests",
        "Sources/Wire/KeyDigest.swift": "hands text to the C digest",
        "Sources/Wire/StreamingDigest.swift": "owns the C digest's state",
        "Sources/Client/Bytes.swift": "the buffer: the client's payload memory",
        "Sources/Client/ProcessorClock.swift": "the C library's clocks",
        "Sources/Client/Socket.swift": "the C library's calls on sockets",
        "Sources/Client/Remote/MessageSlots.swift": "posts places of its memory to the device",
        "Sources/Client/Remote/RemoteDevices.swift": "registers the client's memory",
        "Sources/Client/Remote/OneSidedMoves.swift": "hands the caller's memory to the device",
        "Sources/Client/Sockets/DetachedThread.swift": "threads of the C library",
        "Sources/Client/Sockets/PollEntry.swift": "the C library's poll",
        "Sources/Client/Sockets/SocketAddress.swift": "the C library's resolver",
        "Sources/Client/Sockets/WakeUp.swift": "a socket pair of the C library",
        "Sources/Backends/Sim/SectorBytes.swift": "copies between a simulated drive and the arena",
        "Sources/Judgement/Registers/BlockValues.swift": "fills and compares memory given to it",
        "Sources/ScenarioRuns/ScenarioFiles.swift": "asks Foundation what is a folder",
        "Sources/Simulation/Network/ByteQueue.swift": "copies between connections and memory",
        "Sources/Engine/Memory/FixedArray.swift": "a buffer: arrays without reference counts",
        "Sources/Engine/Memory/Arena.swift": "the buffer: every access to mapped memory",
        "Sources/Engine/Memory/SlabPool.swift": "the slabs' links and marks",
        "Sources/Engine/Shards/Mailbox.swift": "the messages' places",
        "Sources/Engine/Shards/Roster.swift": "the announcements' places",
        "Sources/Engine/Operations/Operation.swift": "operations are reached by address",
        "Sources/Engine/Observation/Cells.swift": "the cells' atomics",
        "Sources/Ring/MappedMemory.swift": "the mapping that arenas are made of",
        "Sources/Ring/MessageVectors.swift": "the kernel's vectors for send and receive",
        "Sources/Ring/Ring.swift": "the ring itself: liburing works on pointers",
        "Sources/Ring/RingOperations.swift": "fills submissions with places in memory",
        "Sources/Ring/RingRegistration.swift": "hands the arena's pages to the kernel",
        "Sources/Ring/RingWaker.swift": "writes eight bytes to an eventfd",
        "Sources/Ring/ThreadName.swift": "hands a name to the C library",
        "Sources/Ring/SystemError.swift": "reads the C library's error texts",
        "Sources/Verbs/LockedMemory.swift": "the C library's calls on limits",
        "Sources/Verbs/NetworkInterface.swift": "the C library's calls on sysfs",
        "Sources/Verbs/Netlink/NetlinkSocket.swift": "a socket of the C library",
        "Sources/Verbs/VerbsError.swift": "reads the C library's error texts",
        "Sources/Verbs/RDMADevices.swift": "libibverbs' devices, through the shim",
        "Sources/Verbs/RDMAMemory.swift": "domains and registrations of libibverbs",
        "Sources/Verbs/ExposedMemory.swift": "registrations of libibverbs",
        "Sources/Verbs/CompletionQueue.swift": "queues of libibverbs",
        "Sources/Verbs/ConnectionEvents.swift": "librdmacm's events, through the shim",
        "Sources/Verbs/RDMAConnection.swift": "hands places in memory to the device",
        "Sources/Backends/Verbs/RDMADeviceEnd.swift": "registers the arena's bytes",
        "Sources/Backends/Verbs/RDMAControl.swift": "the arena's bytes, for the device",
        "Sources/Backends/Verbs/ShardQueuePairs.swift": "the arena's bytes, for the device",
        "Sources/Backends/Verbs/LeaseRegistrar.swift": "registers the arena's bytes",
        "Sources/Backends/IOUring/ArenaMapping.swift": "makes an arena of a mapping",
        "Sources/Backends/IOUring/FixedTable.swift": "a buffer: tables without reference counts",
        "Sources/Backends/IOUring/ShardRing.swift": "registers the arena's bytes",
        "Sources/Backends/IOUring/Device/IOUringDevice.swift": "the arena's bytes, for the kernel",
        "Sources/Backends/IOUring/Device/OpenedDrive.swift": "opens drives through the shim",
        "Sources/Backends/IOUring/Transport/TCPListener.swift": "opens sockets through the shim",
        "Sources/Backends/IOUring/Transport/TCPReceiving.swift": "received bytes, for the kernel",
        "Sources/Backends/IOUring/Transport/TCPSending.swift": "bytes to send, for the kernel",
        "Sources/Backends/IOUring/Transport/TransportCounters.swift": "the counters' atomics",
        "Sources/engine-benchmark/Pump/LoopbackPump.swift": "plain sockets of the C library",
        "Sources/Settings/Server/FileIdentity.swift": "the C library's calls on paths",
        "Sources/memkv/Admin/HTTPGet.swift": "asks libcurl through the shim",
        "Sources/memkv/Drive/ForeignSignatures.swift": "asks libblkid through the shim",
        "Sources/memkv/Files/LocalFiles.swift": "the C library's calls on files",
        "Sources/memkv/Files/UnfinishedFiles.swift": "a signal set of the C library",
        "Sources/memkv/Transfer/BlockingQueue.swift": "shared by threads, under its own lock",
        "Sources/memkv/Transfer/ProgressBar.swift": "shared by threads, under its own lock",
        "Sources/memkvd/System/SystemCalls.swift": "the C library's calls on files and streams",
        "Sources/memkvd/System/Threads.swift": "threads and signals of the C library",
    ]

    static let longestLine = 100
    static let longestFunction = 70
    /// Functions that are longer, as "path name", with the reason. May only shrink.
    static let longFunctions: [String: String] = [:]

    /// Everything that is wrong with `file` by itself.
    static func violations(in file: SourceText) -> [Violation] {
        imports(file) + core(file) + unsafe(file) + conditions(file) + lines(file) + functions(file)
            + notes(file)
    }

    // MARK: Imports

    private static func imports(_ file: SourceText) -> [Violation] {
        guard let rule = allowedImports.first(where: { file.path.hasPrefix($0.folder) }) else {
            return [
                Violation(
                    path: file.path, line: 1,
                    problem: "its folder isn't in the table of allowed imports")
            ]
        }
        let words = file.words
        return words.indices.dropLast().compactMap { index in
            let module = words[index + 1]
            guard words[index].text == "import", words[index].line == module.line,
                !rule.modules.contains(module.text),
                extraImports[file.path]?.module != module.text
            else { return nil }
            return Violation(
                path: file.path, line: module.line,
                problem: "\(rule.folder) may not import \(module.text)")
        }
    }

    private static func core(_ file: SourceText) -> [Violation] {
        guard coreFolders.contains(where: { file.path.hasPrefix($0) }) else { return [] }
        return file.words.filter { bannedInCore.contains($0.text) }.map {
            Violation(
                path: file.path, line: $0.line,
                problem: "\"\($0.text)\" in the synchronous core")
        }
    }

    // MARK: The traits

    /// A package trait: what must stand behind its `#if`, since builds without it lack a library.
    private struct Trait {
        let name: String
        let modules: Set<String>
        let folders: [String]
    }

    private static let traits = [
        Trait(
            name: "IOUring", modules: ["CIOURing", "IOUring", "Ring"],
            folders: ["Sources/Ring/", "Sources/Backends/IOUring/"]),
        Trait(
            name: "Verbs", modules: ["CVerbs", "RDMA", "SoftRoCE", "Verbs"],
            folders: ["Sources/Verbs/", "Sources/Backends/Verbs/", "Sources/Backends/SoftRoCE/"]),
    ]

    private static func conditions(_ file: SourceText) -> [Violation] {
        traits.compactMap { condition(file, $0) }
    }

    private static func condition(_ file: SourceText, _ trait: Trait) -> Violation? {
        let words = file.words
        let imports = words.indices.first {
            words[$0].text == "import" && $0 + 1 < words.count
                && trait.modules.contains(words[$0 + 1].text)
        }
        let isAllOfIt = trait.folders.contains { file.path.hasPrefix($0) }
        guard let first = isAllOfIt ? words.startIndex : imports else { return nil }
        let isConditional = words.indices.prefix(first + 1).contains {
            words[$0].text == "if" && words[$0].before == "#" && $0 + 1 < words.count
                && words[$0 + 1].text == trait.name
        }
        if isConditional { return nil }
        return Violation(
            path: file.path, line: 1,
            problem: "is or imports modules of the trait \(trait.name) outside its \"#if\"")
    }

    // MARK: Unsafe code

    private static func unsafe(_ file: SourceText) -> [Violation] {
        let found = file.words.filter { $0.text == "unsafe" || $0.text == "unchecked" }
        if unsafeFiles[file.path] != nil {
            guard found.isEmpty else { return [] }
            return [
                Violation(
                    path: file.path, line: 1,
                    problem: "listed as unsafe and isn't; take it off the list")
            ]
        }
        return found.prefix(1).map {
            Violation(
                path: file.path, line: $0.line,
                problem: "\"\($0.text)\" outside the files listed for it")
        }
    }

    // MARK: Shape

    private static func lines(_ file: SourceText) -> [Violation] {
        let lines = file.text.split(separator: "\n", omittingEmptySubsequences: false)
        var found = lines.enumerated().filter { $0.element.count > longestLine }.map {
            Violation(
                path: file.path, line: $0.offset + 1,
                problem: "a line of \($0.element.count) columns, \(longestLine) at most")
        }
        if file.path.hasPrefix("Sources/"), lines.first?.hasPrefix("//") != true {
            found.append(
                Violation(path: file.path, line: 1, problem: "doesn't open with what it is"))
        }
        return found
    }

    private static func functions(_ file: SourceText) -> [Violation] {
        FunctionLengths.of(file).compactMap { function in
            let isExcepted = longFunctions["\(file.path) \(function.name)"] != nil
            if function.lines > longestFunction, !isExcepted {
                return Violation(
                    path: file.path, line: function.line,
                    problem: "\(function.name) has \(function.lines) lines, "
                        + "\(longestFunction) at most")
            }
            if function.lines <= longestFunction, isExcepted {
                return Violation(
                    path: file.path, line: function.line,
                    problem: "\(function.name) is short again; take it off the list")
            }
            return nil
        }
    }

    private static func notes(_ file: SourceText) -> [Violation] {
        let marks = ["TO" + "DO", "FIX" + "ME"]
        let lines = file.text.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.enumerated().compactMap { index, line in
            guard let mark = marks.first(where: { line.contains($0) }) else { return nil }
            return Violation(path: file.path, line: index + 1, problem: "says \(mark)")
        }
    }

    // MARK: The tables themselves

    /// Exceptions for files that don't exist.
    static func staleExceptions(existing paths: Set<String>) -> [Violation] {
        let named =
            Array(unsafeFiles.keys) + Array(extraImports.keys)
            + longFunctions.keys.compactMap { $0.split(separator: " ").first.map(String.init) }
        return named.filter { !paths.contains($0) }.map {
            Violation(path: $0, line: 1, problem: "is in a list of exceptions and doesn't exist")
        }
    }
}

/// How long the functions of a file are.
enum FunctionLengths {
    struct Function {
        let name: String
        let line: Int
        /// From the line of its name to that of its closing brace, both counted.
        let lines: Int
    }

    /// Functions and initialisers that have a body.
    static func of(_ file: SourceText) -> [Function] {
        let words = file.words
        return words.indices.compactMap { index in
            let word = words[index]
            let isInitialiser = word.text == "init" && word.before != "."
            guard word.text == "func" || isInitialiser else { return nil }
            let name = isInitialiser || index + 1 == words.count ? "init" : words[index + 1].text
            guard let lines = linesOfBody(file.code, from: word.start) else { return nil }
            return Function(name: name, line: word.line, lines: lines)
        }
    }

    /// Lines from `start` to the end of the body that follows; nil for a protocol's requirement.
    private static func linesOfBody(_ code: [Character], from start: Int) -> Int? {
        var parentheses = 0
        var braces = 0
        var lines = 1
        for position in start..<code.count {
            switch code[position] {
            case "\n":
                lines += 1
                if braces == 0, parentheses == 0, !continues(code, after: position) { return nil }
            case "(", "[": parentheses += 1
            case ")", "]": parentheses -= 1
            case "{" where parentheses == 0: braces += 1
            case "}" where parentheses == 0:
                braces -= 1
                if braces == 0 { return lines }
                if braces < 0 { return nil }
            default: break
            }
        }
        return nil
    }

    /// True when the declaration that was broken at `position` goes on in the next line.
    private static func continues(_ code: [Character], after position: Int) -> Bool {
        let rest = code[position...].drop { $0.isWhitespace }
        return ["{", "->", "where", "throws", "async", "("].contains {
            rest.starts(with: Array($0))
        }
    }
}
