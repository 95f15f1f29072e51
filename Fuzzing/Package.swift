// swift-tools-version: 6.2
// The fuzz targets: the sources of the package above, compiled with libFuzzer's counters, which no
// build of the package itself has. Scripts/fuzz builds and runs them.
//
// `Modules` holds links to ../Sources. Ring's is a folder of its own: the real ring without the
// kernel's part, which SimulatedRing.swift stands in for.

import PackageDescription

/// AddressSanitizer finds errors in memory where they are made, at a third of the speed.
let hasAddressSanitizer = Context.environment["MEMKV_FUZZ_ADDRESS"] != nil

// As ../Package.swift has it, but for what this package adds.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .define("IOUring"),
    .define("PLANTED_BUGS"),
    .unsafeFlags([
        hasAddressSanitizer ? "-sanitize=fuzzer,address" : "-sanitize=fuzzer", "-enable-testing",
    ]),
]

/// libFuzzer without its `main`, from the toolchain that compiles this.
let libFuzzer = Context.environment["LIBFUZZER"] ?? "libclang_rt.fuzzer_no_main-x86_64.a"

let package = Package(
    name: "memkv",
    platforms: [.macOS(.v26)],
    targets: [
        .target(
            name: "CDigest", path: "Modules/CDigest", linkerSettings: [.linkedLibrary("crypto")]),
        .target(
            name: "CIOURing", path: "Modules/CIOURing", cSettings: [.define("MEMKV_IO_URING")],
            linkerSettings: [.linkedLibrary("uring")]),
        .target(
            name: "Wire", dependencies: ["CDigest"], path: "Modules/Wire", swiftSettings: settings),
        .target(
            name: "Engine", dependencies: ["Wire"], path: "Modules/Engine", swiftSettings: settings),
        .target(
            name: "Client", dependencies: ["Wire"], path: "Modules/Client", swiftSettings: settings),
        .target(
            name: "Ring", dependencies: ["CIOURing"], path: "Modules/Ring", swiftSettings: settings),
        .target(
            name: "IOUring", dependencies: ["Engine", "Wire", "Ring", "CIOURing"],
            path: "Modules/IOUring", swiftSettings: settings),
        .target(name: "CFuzzer", path: "CFuzzer"),
        .executableTarget(
            name: "fuzz", dependencies: ["CFuzzer", "Client", "Engine", "IOUring", "Ring", "Wire"],
            path: "Targets", swiftSettings: settings,
            linkerSettings: [
                .unsafeFlags(
                    (hasAddressSanitizer ? ["-sanitize=address"] : []) + ["-Xlinker", libFuzzer]),
                .linkedLibrary("stdc++"),
            ]),
    ]
)
