// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// A sample, with the name of the interface that it came in on.
struct NamedSample {
    var interface: String
    var sample: Sample
}

/// The samples of one interface, or of all that filter for an instance; `up` may replace their programs meanwhile.
struct SampleStream {
    private let kernel: KernelEdges
    private let name: String?
    private let request: SampleRequest
    private let lock: SampleLock
    private var readers: [(program: UInt32, label: String, reader: SampleReader)] = []
    private var lastLook = ContinuousClock.now
    private var lostBefore: UInt64 = 0

    /// Throws `.notLoaded` where nothing filters, `.busy` where somebody reads already.
    init(_ context: Context, interface: String?, _ request: SampleRequest) throws(Failure) {
        try Host.requireReady()
        kernel = KernelEdges(instance: context.instance)
        name = interface
        self.request = request
        lock = try SampleLock(path: context.instance.samplesLockPath)
        try look()
        guard !readers.isEmpty else {
            throw Failure(
                .notLoaded, tried: "watch decisions", on: interface ?? "any interface",
                because: "no program of ours is attached there",
                next: "Attach it: vos-fastpath up \(interface ?? "IFACE")")
        }
    }

    /// Samples that were lost on the way here.
    var lost: UInt64 { readers.reduce(lostBefore) { $0 + $1.reader.lost } }

    /// Opens readers for programs that are new, closes those of programs that are gone.
    private mutating func look() throws(Failure) {
        lastLook = .now
        var found: [(program: UInt32, label: String, reader: SampleReader)] = []
        for edge in try kernel.edges() where name == nil ? edge.isFilteringForUs : edge.isFiltering {
            guard let program = edge.attachment?.programID, name == nil || edge.label == name || edge.name == name
            else { continue }
            if let known = readers.first(where: { $0.program == program }) {
                found.append(known)
            } else {
                let reader = try SampleReader(kernel.program(of: edge), request)
                found.append((program, edge.label, reader))
            }
        }
        for old in readers where !found.contains(where: { $0.program == old.program }) { lostBefore += old.reader.lost }
        readers = found
    }

    /// What has come, in order of time; waits for a moment. Empty at the latest after a tenth of a second.
    mutating func next() throws(Failure) -> [NamedSample] {
        if ContinuousClock.now - lastLook > .seconds(1) {
            do throws(Failure) {
                try look()
            } catch {
                // A program that was replaced between two questions is seen the next time.
                guard error.kind == .notLoaded || error.kind == .system(errno: ENOENT) else { throw error }
            }
        }
        var waiting = readers.map { pollfd(fd: $0.reader.descriptor, events: Int16(POLLIN), revents: 0) }
        poll(&waiting, nfds_t(waiting.count), 100)
        var samples: [NamedSample] = []
        for (index, wait) in waiting.enumerated() where wait.revents != 0 {
            let label = readers[index].label
            samples += try readers[index].reader.read().map { NamedSample(interface: label, sample: $0) }
        }
        return samples.sorted { $0.sample.time < $1.sample.time }
    }
}

/// Options of the commands that look at decisions.
struct SampleChoice: Hashable {
    var reasons: Set<Reason>

    /// Names of reasons; none: all that drop. Throws `.usage` for a name that there is not.
    init(_ names: [String]) throws(Failure) {
        reasons = names.isEmpty ? Set(Reason.droppable) : []
        for name in names {
            guard let reason = Reason.counted.first(where: { $0.name == name }) else {
                throw Failure(
                    .usage, tried: "read the command line", on: "--reason \(name)", because: "there is no such reason",
                    next: "Choose of: \(Reason.counted.map(\.name).joined(separator: ", ")).")
            }
            reasons.insert(reason)
        }
    }
}

/// From microseconds of the boot-time clock to nanoseconds since 1970-01-01 UTC.
func wallTime(ofBootMicroseconds micros: UInt64) -> Int64 {
    var wall = timespec(), boot = timespec()
    clock_gettime(CLOCK_REALTIME, &wall)
    clock_gettime(CLOCK_BOOTTIME, &boot)
    let difference =
        (Int64(wall.tv_sec) - Int64(boot.tv_sec)) * 1_000_000_000 + Int64(wall.tv_nsec) - Int64(boot.tv_nsec)
    return Int64(micros) * 1_000 + difference
}
