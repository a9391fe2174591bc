// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import Glibc

/// Runs `body` on one CPU and before everybody else, on this thread. Both end with it.
func pinned<Result>(toCPU cpu: Int, _ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    var before = fastpath_lab_cpus()
    guard fastpath_lab_get_cpus(&before) == 0, fastpath_lab_pin_thread(UInt32(clamping: cpu)) == 0 else {
        let code = errno
        throw Failure(
            .system(errno: code), tried: "pin the bench", on: "CPU \(cpu)", because: errorText(code),
            next: "Choose a CPU that is on line.")
    }
    defer { _ = fastpath_lab_set_cpus(&before) }
    return try beforeOthers(body)
}

/// Runs `body` before everybody else (nice -20), on this thread; programs that it starts inherit that.
func beforeOthers<Result>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    // On Linux a thread's own, not its process's (setpriority(2)).
    let process = Int32(PRIO_PROCESS.rawValue)
    let before = getpriority(process, 0)
    setpriority(process, 0, -20)
    defer { setpriority(process, 0, before) }
    return try body()
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers for the same seed, everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
