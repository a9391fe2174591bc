// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// What a host was set to before it was tuned. What is tuned twice is remembered as it was at first.
public struct TuningState: Hashable, Sendable {
    /// Of the kernel's boot: a state of another one is void, as its settings and processes are gone.
    public var boot: String
    /// In microseconds.
    public var settings: [BusyPollSetting: Int] = [:]
    public var threads: [ThreadID: CPUSet] = [:]

    public init(boot: String) { self.boot = boot }

    public var isEmpty: Bool { settings.isEmpty && threads.isEmpty }
}

extension TuningState {
    private static let head = "# What this host was set to before it was tuned. Written by vos-fastpath tune."

    var text: String {
        var lines = [Self.head, "boot \(boot)"]
        for setting in BusyPollSetting.allCases {
            if let value = settings[setting] { lines.append("\(setting.rawValue) \(value)") }
        }
        for id in threads.keys.sorted(by: { ($0.process, $0.thread) < ($1.process, $1.thread) }) {
            lines.append("thread \(id.process) \(id.thread) \(id.start) \(threads[id] ?? CPUSet([]))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Nil where a line makes no sense.
    init?(text: String) {
        self.init(boot: "")
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            let words = line.split(separator: " ")
            let numbers = words.dropFirst().map { UInt64($0) }
            switch (words.first, words.count) {
            case ("boot", 2): boot = String(words[1])
            case ("thread", 5):
                guard let process = numbers[0].flatMap(Int.init(exactly:)),
                    let thread = numbers[1].flatMap(Int.init(exactly:)), let start = numbers[2],
                    let cpus = CPUSet(list: words[4])
                else { return nil }
                threads[ThreadID(process: process, thread: thread, start: start)] = cpus
            case (let name?, 2):
                guard let setting = BusyPollSetting(rawValue: String(name)),
                    let value = numbers[0].flatMap(Int.init(exactly:))
                else { return nil }
                settings[setting] = value
            default: return nil
            }
        }
    }
}

/// The file with that state. It is replaced as a whole, so that nobody reads half of it, and goes with its last line.
public struct TuningRecord: Sendable {
    public var path: String
    public var lockPath: String
    /// Milliseconds to wait for another command.
    public var timeout: Int
    /// The kernel's name for this boot.
    public var boot: String

    public init(path: String, lockPath: String, timeout: Int = FileLock.defaultTimeout, boot: String) {
        self.path = path
        self.lockPath = lockPath
        self.timeout = timeout
        self.boot = boot
    }

    /// Empty where there is none, or only one of an earlier boot.
    public func read() throws(Failure) -> TuningState {
        let content: [UInt8]
        do throws(Failure) {
            content = try readFile(path)
        } catch {
            if error.kind == .system(errno: ENOENT) { return TuningState(boot: boot) }
            throw error
        }
        guard let state = TuningState(text: String(decoding: content, as: UTF8.self)) else {
            throw Failure(
                tried: "read what was set before", on: path, because: "it makes no sense",
                next: "Remove the file; what was set before is forgotten then.")
        }
        return state.boot == boot ? state : TuningState(boot: boot)
    }

    /// Changes it, while no other command does.
    public func change(_ body: (inout TuningState) -> Void) throws(Failure) {
        try FileLock(at: lockPath, timeout: timeout).withLock(for: "tune") { (_) throws(Failure) in
            let before = try read()
            var state = before
            body(&state)
            if state != before { try write(state) }
        }
    }

    private func write(_ state: TuningState) throws(Failure) {
        let tried = "remember what was set before"
        if state.isEmpty {
            guard unlink(path) == 0 || errno == ENOENT else { throw failure(errno, tried) }
            return
        }
        if let slash = path.lastIndex(of: "/"), mkdir(String(path[..<slash]), 0o700) != 0, errno != EEXIST {
            throw failure(errno, tried)
        }
        let fresh = "\(path).new"
        let descriptor = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure(errno, tried) }
        let file = FileDescriptor(descriptor)
        var text = state.text
        let written = text.withUTF8 { Glibc.write(file.rawValue, $0.baseAddress, $0.count) }
        guard written == text.utf8.count, fsync(file.rawValue) == 0, rename(fresh, path) == 0 else {
            let code = errno
            unlink(fresh)
            throw failure(code, tried)
        }
    }

    private func failure(_ code: Int32, _ tried: String) -> Failure {
        let isRefused = code == EACCES || code == EPERM
        return Failure(
            isRefused ? .notRoot : .system(errno: code), tried: tried, on: path, because: errorText(code),
            next: isRefused ? "Run it as root." : "Check the path and its file system.")
    }
}
