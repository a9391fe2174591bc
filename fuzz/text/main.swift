// SPDX-License-Identifier: Apache-2.0
// fuzz-text TARGET [libFuzzer's arguments]: a target of Targets.swift under libFuzzer (fuzz/run builds it).
import Glibc

/// libFuzzer's door for programs that have a main of their own.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>, Int) -> Int32
) -> Int32

nonisolated(unsafe) private var target = Target.prefix

guard CommandLine.arguments.count > 1, let named = Target(rawValue: CommandLine.arguments[1]) else {
    print("usage: fuzz-text \(Target.allCases.map(\.rawValue).joined(separator: "|")) [libFuzzer's arguments]")
    exit(64)
}
target = named
var pointers: [UnsafeMutablePointer<CChar>?] =
    ([CommandLine.arguments[0]] + CommandLine.arguments.dropFirst(2)).map { strdup($0) } + [nil]
var count = Int32(pointers.count - 1)
let status = pointers.withUnsafeMutableBufferPointer { pointers in
    var start = pointers.baseAddress
    return runDriver(&count, &start) { bytes, length in
        target.run(Array(UnsafeBufferPointer(start: bytes, count: length)))
        return 0
    }
}
exit(status)
