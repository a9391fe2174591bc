// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore
import Glibc

/// A decision of the packet program, with the frame that it was made on.
public struct Sample: Hashable, Sendable {
    /// Microseconds of the boot-time clock.
    public var time: UInt64
    /// The index of the interface that it came in on.
    public var interface: UInt32
    /// The receive queue.
    public var queue: UInt32
    /// Bytes of the whole frame.
    public var length: Int
    public var reason: Reason
    /// The rule in dry run that would have dropped it.
    public var wouldBe: Reason?
    /// The frame's first bytes, from the Ethernet header on.
    public var frame: [UInt8]

    /// As the program wrote it; nil for what this version does not know.
    init?(_ bytes: UnsafeRawBufferPointer) {
        let head = MemoryLayout<fastpath_sample>.size
        guard bytes.count >= head else { return nil }
        let sample = bytes.loadUnaligned(as: fastpath_sample.self)
        guard let reason = Reason.counted.first(where: { $0.id == sample.reason }),
            bytes.count >= head + Int(sample.captured)
        else { return nil }
        time = sample.time
        interface = sample.interface
        queue = sample.queue
        length = Int(sample.length)
        self.reason = reason
        wouldBe = Reason.droppable.first { $0.id == sample.would_be }
        frame = Array(bytes[head..<head + Int(sample.captured)])
    }
}

/// Which decisions are sampled.
public struct SampleRequest: Hashable, Sendable {
    /// By what became of the packet, or would have in dry run.
    public var reasons: Set<Reason>
    /// One in so many on each CPU, at least 1.
    public var every: Int
    /// At most so many a second on all CPUs together.
    public var perSecond: Int
    /// Bytes of a frame, at most.
    public var length: Int

    public init(reasons: Set<Reason>, every: Int = 1, perSecond: Int, length: Int) {
        self.reasons = reasons
        self.every = every
        self.perSecond = perSecond
        self.length = length
    }

    fileprivate var abi: fastpath_sample_control {
        fastpath_sample_control(
            reasons: reasons.reduce(0) { $0 | 1 << $1.id }, every: UInt32(clamping: every),
            per_second: UInt32(clamping: perSecond), length: UInt32(clamping: length), taken: 0)
    }
}

/// Keeps a second reader of samples away, which would take them from the first. The kernel drops it when its process
/// ends, however that happens.
public final class SampleLock {
    private let file: FileDescriptor

    /// Throws `.busy` where somebody reads already.
    public init(path: String) throws(Failure) {
        file = FileDescriptor(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600))
        _ = try check(file.rawValue, "lock the samples", on: path, next: "Run it as root.")
        guard flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 else {
            throw Failure(
                .busy, tried: "watch decisions", on: path, because: "another 'watch' or 'capture' reads them",
                next: "End the other one, or wait for it.")
        }
    }
}

/// Reads the samples of one program. What it set up in the kernel is gone when its process ends, however that happens.
public final class SampleReader {
    /// Held open: as its file is closed, the kernel takes out of the map what was put in by it.
    private let samples: BPFMap
    private let control: BPFMap
    private let box: Box
    private let buffer: OpaquePointer

    /// What the callbacks of libbpf write to.
    private final class Box {
        var samples: [Sample] = []
        var lost: UInt64 = 0
    }

    /// Pages of a CPU's buffer: 256 KB.
    private static let pages = 64

    /// To be made by whoever holds the ``SampleLock``. Throws `.unsupported` where the program has no samples.
    public init(_ program: Program, _ request: SampleRequest) throws(Failure) {
        let tried = "watch decisions"
        guard let samples = try program.ownMap(FASTPATH_SAMPLES_MAP),
            let control = try program.ownMap(FASTPATH_SAMPLE_CONTROL_MAP)
        else {
            throw Failure(
                .unsupported, tried: tried, on: "program \(program.id)", because: "it takes no samples",
                next: "Replace it with this version's: vos-fastpath up IFACE")
        }
        let box = Box()
        var options = perf_buffer_opts()
        options.sz = MemoryLayout<perf_buffer_opts>.size
        let buffer = perf_buffer__new(
            samples.fd, Self.pages,
            { context, _, data, size in
                guard let context, let data else { return }
                let box = Unmanaged<Box>.fromOpaque(context).takeUnretainedValue()
                let bytes = UnsafeRawBufferPointer(start: data, count: Int(size))
                if let sample = Sample(bytes) { box.samples.append(sample) }
            },
            { context, _, count in
                guard let context else { return }
                Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().lost += count
            }, Unmanaged.passUnretained(box).toOpaque(), &options)
        guard let buffer else {
            let code = errno
            throw Failure(
                .system(errno: code), tried: tried, on: "program \(program.id)", because: errorText(code),
                next: "Run it as root.", details: LibBPFLog.take())
        }
        self.samples = samples
        self.control = control
        self.box = box
        self.buffer = buffer
        try set(request.abi)
    }

    deinit {
        // Nobody reads any more: the program need not try.
        try? set(fastpath_sample_control())
        perf_buffer__free(buffer)
    }

    private func set(_ value: fastpath_sample_control) throws(Failure) {
        try control.update(key: [0, 0, 0, 0], value: withUnsafeBytes(of: value) { Array($0) })
    }

    /// To be polled beside others: readable when there are samples.
    public var descriptor: Int32 { perf_buffer__epoll_fd(buffer) }

    /// What has come, in order of time. Does not wait, and asks nobody whether something has come: whoever polled
    /// ``descriptor`` has taken the kernel's answer, which it gives once (perf_poll).
    public func read() throws(Failure) -> [Sample] {
        _ = try check(perf_buffer__consume(buffer), "read samples", on: "the perf buffer")
        defer { box.samples = [] }
        return box.samples.sorted { $0.time < $1.time }
    }

    /// Samples that this reader was too slow for.
    public var lost: UInt64 { box.lost }
}
