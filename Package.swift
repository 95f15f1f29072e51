// swift-tools-version: 6.2
import PackageDescription

// One settings list for every Swift target of ours, so that the house rules hold everywhere.
let houseRules: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

// Debug builds can switch planted bugs on, which the hunts must find; release builds hold none,
// unless the trait asks for them: `swift build -c release --traits PlantedBugs --scratch-path DIR`.
let plantedBugs: [SwiftSetting] = [
    .define("PLANTED_BUGS", .when(configuration: .debug)),
    .define("PLANTED_BUGS", .when(traits: ["PlantedBugs"])),
]

// Counters and histograms stay at zero: for measuring what they cost, and for nothing else.
let withoutMetrics: [SwiftSetting] = [
    .define("WITHOUT_METRICS", .when(traits: ["WithoutMetrics"]))
]

// Of what is fast only in release: run-time checks of overlapping accesses cost a tenth of a
// simulated run; debug builds make them.
let fastSimulation: [SwiftSetting] = [
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))
]

// What needs Linux's io_uring or RDMA: `swift build --disable-default-traits` leaves it out, with
// liburing, libibverbs and librdmacm.
#if os(Linux)
let defaultTraits: Set<String> = ["IOUring", "Verbs"]
#else
let defaultTraits: Set<String> = []
#endif
let ioUringTargets: [Target.Dependency] = [
    .target(name: "IOUring", condition: .when(traits: ["IOUring"])),
    .target(name: "Ring", condition: .when(traits: ["IOUring"])),
]
let verbsTargets: [Target.Dependency] = [
    .target(name: "Verbs", condition: .when(traits: ["Verbs"]))
]
let rdmaTargets: [Target.Dependency] =
    verbsTargets + [
        .target(name: "RDMA", condition: .when(traits: ["Verbs"])),
        .target(name: "SoftRoCE", condition: .when(traits: ["Verbs"])),
    ]

let package = Package(
    name: "memkv",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "memkvd", targets: ["memkvd"]),
        .executable(name: "memkv", targets: ["memkv"]),
        .executable(name: "crash-enumeration", targets: ["crash-enumeration"]),
        .executable(name: "engine-benchmark", targets: ["engine-benchmark"]),
        .executable(name: "memkv-sim", targets: ["memkv-sim"]),
    ],
    traits: [
        .trait(
            name: "IOUring",
            description: "The io_uring backend: drives, TCP and the daemon. Needs liburing."),
        .trait(
            name: "Verbs",
            description: "RDMA, server and client. Needs libibverbs and librdmacm."),
        .trait(
            name: "PlantedBugs",
            description: "Mistakes that can be switched on by name, for memkv-sim hunt alone."),
        .trait(
            name: "WithoutMetrics",
            description: "Nothing is counted or timed: for Benchmarks/metrics_cost.py alone."),
        .default(enabledTraits: defaultTraits),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", exact: "0.2.0"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
    ],
    targets: [
        // Leaf C targets: a digest library for Wire, the kernel's ring for the io_uring backend,
        // RDMA's libraries for server and client, what is on a drive and HTTP for memkv.
        // Without optimization XXH3 takes a hundred times as long, and every test with it.
        .target(
            name: "CDigest", cSettings: [.unsafeFlags(["-O2"], .when(configuration: .debug))],
            linkerSettings: [.linkedLibrary("crypto")]),
        .target(
            name: "CIOURing",
            cSettings: [.define("MEMKV_IO_URING", .when(traits: ["IOUring"]))],
            linkerSettings: [.linkedLibrary("uring", .when(traits: ["IOUring"]))]),
        .target(name: "CHTTP", linkerSettings: [.linkedLibrary("curl")]),
        .target(
            name: "CVerbs", cSettings: [.define("MEMKV_VERBS", .when(traits: ["Verbs"]))],
            linkerSettings: [
                .linkedLibrary("ibverbs", .when(traits: ["Verbs"])),
                .linkedLibrary("rdmacm", .when(traits: ["Verbs"])),
            ]),
        .target(
            name: "CBlkid", cSettings: [.define("MEMKV_IO_URING", .when(traits: ["IOUring"]))],
            linkerSettings: [.linkedLibrary("blkid", .when(traits: ["IOUring"]))]),

        // The arrow: memkvd, memkv -> backends, Admin, Client -> Engine -> Wire -> CDigest.
        .target(name: "Wire", dependencies: ["CDigest"], swiftSettings: houseRules),
        .target(
            name: "Engine", dependencies: ["Wire"],
            swiftSettings: houseRules + plantedBugs + withoutMetrics),
        .target(name: "Ring", dependencies: ["CIOURing"], swiftSettings: houseRules),
        // Of RDMA what server and client both stand on.
        .target(name: "Verbs", dependencies: ["CVerbs"], swiftSettings: houseRules),
        // A shard's clients on queue pairs, whatever these are made of.
        .target(
            name: "QueuePairs", dependencies: ["Engine", "Wire"],
            swiftSettings: houseRules + plantedBugs),
        .target(
            name: "IOUring", dependencies: ["Engine", "Wire", "Ring", "CIOURing"],
            path: "Sources/Backends/IOUring", swiftSettings: houseRules),
        .target(
            name: "RDMA", dependencies: ["Engine", "QueuePairs", "Wire", "Verbs"],
            path: "Sources/Backends/Verbs", swiftSettings: houseRules),
        .target(
            name: "SoftRoCE", dependencies: ["RDMA", "Verbs"], path: "Sources/Backends/SoftRoCE",
            swiftSettings: houseRules),
        .target(
            name: "Sim", dependencies: ["Engine", "Wire"], path: "Sources/Backends/Sim",
            swiftSettings: houseRules + fastSimulation),
        // What stores are judged by; it must not know the engine.
        .target(name: "Judgement", dependencies: ["Wire"], swiftSettings: houseRules),
        .target(
            name: "CrashEnumeration", dependencies: ["Engine", "Wire", "Sim", "Judgement"],
            swiftSettings: houseRules + plantedBugs),
        .executableTarget(
            name: "crash-enumeration",
            dependencies: [
                "CrashEnumeration", "Engine", "Judgement", "Sim",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: houseRules + plantedBugs),
        .target(
            name: "Client", dependencies: verbsTargets + ["Wire"],
            swiftSettings: houseRules + plantedBugs),
        // A whole world around the engine and the real client, and what it is told to be.
        .target(
            name: "Simulation",
            dependencies: ["Client", "Engine", "Judgement", "QueuePairs", "Sim", "Wire"],
            swiftSettings: houseRules + plantedBugs + fastSimulation),
        .target(
            name: "Scenarios", dependencies: ["Schema", "Settings", "Simulation"],
            swiftSettings: houseRules),
        // Scenario files run over seeds, for memkv-sim and memkv.
        .target(
            name: "ScenarioRuns",
            dependencies: [
                "Scenarios", "Schema", "Simulation",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: houseRules + plantedBugs),
        .executableTarget(
            name: "memkv-sim",
            dependencies: [
                "ScenarioRuns", "Simulation",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: houseRules + plantedBugs),
        // What the scripts in Benchmarks/ measure with.
        .executableTarget(
            name: "engine-benchmark",
            dependencies: ioUringTargets + [
                "Engine", "Wire", "Client",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ], swiftSettings: houseRules),
        .target(
            name: "Admin",
            dependencies: [
                "Engine", .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: houseRules),
        // Documents that people write, read against a schema.
        .target(
            name: "Schema", dependencies: [.product(name: "Yams", package: "Yams")],
            swiftSettings: houseRules),
        .target(
            name: "Settings", dependencies: ["Engine", "Schema", "Wire"],
            swiftSettings: houseRules),
        // Recorded runs: knows no other target, so that a record can be read without its engine.
        .target(
            name: "History", dependencies: [.product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: houseRules),
        // A run as a picture: plain values in, one page out.
        .target(name: "Timeline", swiftSettings: houseRules),
        .executableTarget(
            name: "memkvd",
            dependencies: ioUringTargets + rdmaTargets + [
                "Engine", "QueuePairs", "Wire", "Admin", "Schema", "Settings",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: houseRules + plantedBugs),
        .executableTarget(
            name: "memkv",
            dependencies: ioUringTargets + [
                .target(name: "SoftRoCE", condition: .when(traits: ["Verbs"])),
                "CBlkid", "CHTTP", "Client", "Engine", "History", "ScenarioRuns", "Scenarios",
                "Schema", "Settings", "Simulation", "Timeline", "Wire",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ], swiftSettings: houseRules),

        .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: houseRules),
        .testTarget(
            name: "EngineTests", dependencies: ["Engine", "Sim", "Wire"],
            swiftSettings: houseRules + plantedBugs),
        .testTarget(
            name: "SettingsTests", dependencies: ["Settings", "Schema", "Engine", "Wire"],
            swiftSettings: houseRules),
        .testTarget(
            name: "HistoryTests",
            dependencies: ["History", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: houseRules),
        .testTarget(name: "TimelineTests", dependencies: ["Timeline"], swiftSettings: houseRules),
        .testTarget(
            name: "AdminTests", dependencies: ["Admin", "Engine"], swiftSettings: houseRules),
        .testTarget(
            name: "DaemonTests",
            dependencies: ["memkvd", .product(name: "Logging", package: "swift-log")],
            swiftSettings: houseRules),
        .testTarget(name: "ArchitectureTests", swiftSettings: houseRules),
        .testTarget(
            name: "SimTests", dependencies: ["ContractSuites", "Sim", "Engine", "Wire"],
            swiftSettings: houseRules),
        .testTarget(
            name: "CrashTests",
            dependencies: ["CrashEnumeration", "Sim", "Judgement", "Engine", "Wire"],
            swiftSettings: houseRules + plantedBugs),
        .testTarget(
            name: "SimulationTests",
            dependencies: [
                "Judgement", "ScenarioRuns", "Scenarios", "Schema", "Simulation", "Wire",
            ],
            swiftSettings: houseRules + plantedBugs),
        // What every backend of a port must pass, the simulated and the real ones alike.
        .target(
            name: "ContractSuites", dependencies: ["Engine", "Wire"], path: "Tests/Contracts",
            swiftSettings: houseRules),
        .testTarget(
            name: "IOUringTests",
            dependencies: ioUringTargets + ["ContractSuites", "Engine", "Wire"],
            swiftSettings: houseRules),
        // Run on two Soft-RoCE devices, in the guest.
        .testTarget(
            name: "RDMATests",
            dependencies: ioUringTargets + rdmaTargets + [
                "Client", "Engine", "QueuePairs", "Wire",
            ],
            swiftSettings: houseRules),
        .testTarget(
            name: "ClientTests",
            dependencies: [
                "Client", "Engine", "History", "Settings", "Wire", "memkv", "memkvd",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
            ], swiftSettings: houseRules),
    ]
)
