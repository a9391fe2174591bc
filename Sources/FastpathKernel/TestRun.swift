// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import FastpathCore
import Glibc

/// BPF_PROG_TEST_RUN: a program on frames of our choice (Documentation/bpf/bpf_prog_run.rst).
public enum TestRun {
    /// Shorter frames the kernel refuses: they hold no Ethernet header.
    public static let shortestFrame = 14

    public struct Result: Hashable, Sendable {
        /// The program's return value, an `enum xdp_action`.
        public var action: UInt32
        /// Nanoseconds a run, the mean of the repetitions, the kernel's own loop included.
        public var duration: UInt32
    }

    /// Runs the program on `frame`. `linear` is how many bytes lie in the first, directly readable part (nil: all);
    /// `queue` and `interface` are what the program sees in its context.
    public static func run(
        _ program: Program, frame: UnsafeRawBufferPointer, linear: Int? = nil, interface: UInt32 = 0, queue: UInt32 = 0,
        repetitions: Int = 1
    ) throws(Failure) -> Result {
        var context = xdp_md()
        context.data_end = UInt32(linear ?? frame.count)
        context.ingress_ifindex = interface
        context.rx_queue_index = queue
        // Kernels before 5.14 refuse a context, so it is given only where it says something.
        let hasContext = linear != nil || interface != 0 || queue != 0
        var options = bpf_test_run_opts()
        options.sz = optionsSize(upTo: \bpf_test_run_opts.batch_size)
        options.data_in = frame.baseAddress
        options.data_size_in = UInt32(frame.count)
        options.repeat = Int32(repetitions)
        var result: Int32
        repeat {
            result = withUnsafePointer(to: &context) { context in
                if hasContext {
                    options.ctx_in = UnsafeRawPointer(context)
                    options.ctx_size_in = UInt32(MemoryLayout<xdp_md>.size)
                }
                return bpf_prog_test_run_opts(program.fd, &options)
            }
        } while result < 0 && errno == EINTR
        _ = try check(
            result, "run the program on a frame", on: "\(frame.count) bytes",
            next: "Linux 5.18 takes frames of up to 64 KB, older ones less.")
        return Result(action: options.retval, duration: options.duration)
    }

    /// Sends `count` live frames (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18): what the program answers is done, as if each
    /// frame had come in on `interface` of the calling thread's namespace. `batch` frames are in flight at a time.
    public static func live(
        _ program: Program, frame: UnsafeRawBufferPointer, interface: UInt32, count: Int, batch: Int
    ) throws(Failure) {
        var context = xdp_md()
        context.data_end = UInt32(frame.count)
        context.ingress_ifindex = interface
        var options = bpf_test_run_opts()
        options.sz = optionsSize(upTo: \bpf_test_run_opts.batch_size)
        options.data_in = frame.baseAddress
        options.data_size_in = UInt32(frame.count)
        options.repeat = Int32(count)
        options.flags = 1 << 1  // BPF_F_TEST_XDP_LIVE_FRAMES
        options.batch_size = UInt32(batch)
        let result = withUnsafePointer(to: &context) { context in
            options.ctx_in = UnsafeRawPointer(context)
            options.ctx_size_in = UInt32(MemoryLayout<xdp_md>.size)
            return bpf_prog_test_run_opts(program.fd, &options)
        }
        _ = try check(result, "send live frames", on: "\(count) frames", next: "Linux 5.18 or newer is needed.")
    }
}
