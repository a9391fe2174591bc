// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let package = Package(
    name: "vos-fastpath",
    products: [
        .executable(name: "vos-fastpath", targets: ["vos-fastpath"]),
        .library(name: "vosfastpath", type: .dynamic, targets: ["FastpathPreload"]),
        .library(name: "FastpathAFXDP", targets: ["FastpathAFXDP"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")
    ],
    targets: [
        // C: the one truth shared with the program, the program itself, and the libraries.
        .target(name: "CFastpathABI"),
        .target(name: "CFastpathProgram"),
        .target(name: "CFastpathLab"),
        .systemLibrary(name: "CLibBPF", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev"])]),
        .systemLibrary(name: "CLinux"),
        .target(name: "CPreload", cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(name: "CLibPcap", providers: [.apt(["libpcap-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),

        .target(name: "FastpathCore", dependencies: ["CFastpathABI"]),
        .target(name: "FastpathKernel", dependencies: ["FastpathCore", "CFastpathProgram", "CLibBPF", "CLinux"]),
        .target(
            name: "FastpathAFXDP", dependencies: ["FastpathCore", "FastpathKernel", "CFastpathABI", "CLinux"]),
        // Into other programs, so without a runtime: Sockets/ is FastpathAFXDP's.
        .target(
            name: "FastpathPreload", dependencies: ["CFastpathABI", "CPreload"], exclude: ["exports.map"],
            swiftSettings: [
                .enableExperimentalFeature("Embedded"),
                .unsafeFlags(["-wmo", "-Osize", "-enforce-exclusivity=unchecked", "-Xfrontend", "-function-sections"]),
            ],
            linkerSettings: [
                .unsafeFlags([
                    "-use-ld=lld", "-Xlinker", "--version-script=Sources/FastpathPreload/exports.map",
                    "-Xlinker", "--gc-sections", "-Xlinker", "--icf=all",
                    // Where glibc's functions were before 2.34; since then they are there for those who ask.
                    "-Xlinker", "--no-as-needed", "-Xlinker", "-l:libpthread.so.0", "-Xlinker", "-l:libdl.so.2",
                ])
            ]),
        .target(name: "FastpathStore", dependencies: ["FastpathCore", "CSQLite"]),
        .target(name: "FastpathControl", dependencies: ["FastpathCore", "FastpathKernel", "FastpathStore"]),
        .target(
            name: "FastpathLab",
            dependencies: ["FastpathCore", "FastpathKernel", "CFastpathABI", "CFastpathLab", "CFastpathProgram"]),
        .target(
            name: "FastpathBench",
            dependencies: [
                "FastpathAFXDP", "FastpathCore", "FastpathKernel", "FastpathLab", "CFastpathABI", "CFastpathLab",
                "CFastpathProgram",
            ]),
        .target(
            name: "FastpathCommands",
            dependencies: [
                "FastpathAFXDP", "FastpathCore", "FastpathControl", "FastpathKernel", "FastpathStore", "FastpathLab",
                "FastpathBench", "CFastpathABI", "CLibPcap",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .executableTarget(name: "vos-fastpath", dependencies: ["FastpathCommands"]),

        .testTarget(
            name: "FastpathAFXDPTests",
            dependencies: ["FastpathAFXDP", "FastpathCore", "FastpathLab"]),
        .testTarget(name: "FastpathCoreTests", dependencies: ["FastpathCore"]),
        .testTarget(
            name: "FastpathCommandsTests",
            dependencies: [
                "FastpathCommands", "FastpathControl", "FastpathCore", "FastpathKernel", "FastpathLab", "FastpathBench",
            ]),
        .testTarget(name: "FastpathStoreTests", dependencies: ["FastpathCore", "FastpathStore", "CSQLite"]),
        .testTarget(
            name: "FastpathControlTests",
            dependencies: ["FastpathCore", "FastpathControl", "FastpathKernel", "FastpathStore"]),
        .testTarget(name: "FastpathBenchTests", dependencies: ["FastpathBench", "FastpathCore"]),

        // The packet path and whole hosts: as root.
        .target(name: "Support", dependencies: ["FastpathCore", "FastpathKernel", "CLinux"], path: "Tests/Support"),
        .testTarget(
            name: "DataPlaneTests", dependencies: ["FastpathCore", "FastpathKernel", "FastpathLab", "Support"],
            exclude: ["Fixtures"]),
        .testTarget(
            name: "FastpathKernelTests", dependencies: ["FastpathCore", "FastpathKernel", "FastpathLab", "Support"]),
        // What `make kernels` runs inside other kernels.
        .executableTarget(
            name: "kernel-guest", dependencies: ["FastpathCore", "FastpathKernel", "FastpathLab", "Support"],
            path: "Tests/kernels/guest"),
        .target(name: "CSupport", path: "Tests/CSupport"),
        // A server and a client for the preloaded library.
        .executableTarget(
            name: "udp-peer", path: "Tests/preload/udp-peer", cSettings: [.define("_GNU_SOURCE")]),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "FastpathAFXDP", "FastpathCore", "FastpathKernel", "FastpathLab", "Support", "CSupport", "udp-peer",
            ],
            exclude: ["Fixtures"]),
        .testTarget(name: "FastpathLabTests", dependencies: ["FastpathCore", "FastpathKernel", "FastpathLab"]),
    ],
    cLanguageStandard: .gnu2x
)

// The readers of text: replayed by the tests, or, for fuzz/run alone, under libFuzzer.
let isFuzzed = Context.environment["FASTPATH_FUZZ"] != nil
let fuzzed: [Target.Dependency] = ["FastpathCommands", "FastpathCore"]
package.targets.append(
    isFuzzed
        ? .executableTarget(name: "fuzz-text", dependencies: fuzzed, path: "fuzz/text", exclude: ["ReplayTests.swift"])
        : .testTarget(name: "FuzzTests", dependencies: fuzzed, path: "fuzz/text", exclude: ["main.swift"]))
