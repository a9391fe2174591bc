// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// Short commands: run, wait, read what they said.
public enum Shell {
    public struct Outcome: Sendable {
        public var exit: Child.Exit
        public var output: String
        public var errors: String
    }

    /// Runs a command and gives its output. Throws unless it exits with 0, and where `timeout` passes.
    @discardableResult
    public static func run(
        _ arguments: [String], in namespace: NetworkNamespace? = nil, timeout: Duration = .seconds(30),
        environment: [String: String] = [:]
    ) throws(Failure) -> String {
        let outcome = try outcome(of: arguments, in: namespace, timeout: timeout, environment: environment)
        guard outcome.exit == .code(0) else {
            let said = outcome.errors.isEmpty ? outcome.output : outcome.errors
            let firstLine =
                said.split(separator: "\n").first.map(String.init) ?? "it ended with \(outcome.exit) and said nothing"
            throw Failure(
                tried: "run a command", on: arguments.joined(separator: " "), because: firstLine,
                next: "Run it by hand to see more.", details: said)
        }
        return outcome.output
    }

    /// Runs a command and tells how it ended. Throws where it cannot be started or `timeout` passes (it is killed then).
    public static func outcome(
        of arguments: [String], in namespace: NetworkNamespace? = nil, timeout: Duration = .seconds(30),
        environment: [String: String] = [:]
    ) throws(Failure) -> Outcome {
        let output = try Pipe()
        let errors = try Pipe()
        let input = FileDescriptor(
            try check(open("/dev/null", O_RDONLY | O_CLOEXEC), "open a file", on: "/dev/null"))
        let path = try Programs.path(arguments.first ?? "")
        let pid = try Spawner.spawn(
            path, arguments, environment: Programs.environment(environment),
            streams: .init(input: input.rawValue, output: output.writeEnd, errors: errors.writeEnd), in: namespace)
        let child = Child(pid: pid, command: arguments.joined(separator: " "))
        output.closeWriteEnd()
        errors.closeWriteEnd()

        let deadline = ContinuousClock.now + timeout
        while !(output.isAtEnd && errors.isAtEnd), ContinuousClock.now < deadline { Pipe.read(output, errors) }
        while child.exitStatus == nil, ContinuousClock.now < deadline { Wait.pause(.microseconds(200)) }
        guard let exit = child.exitStatus else {
            child.end()
            throw Failure(
                .system(errno: ETIMEDOUT), tried: "run a command", on: child.command,
                because: "it did not end within \(timeout)",
                next: "Run it by hand to see where it hangs.", details: output.text + errors.text)
        }
        return Outcome(exit: exit, output: output.text, errors: errors.text)
    }

    /// One stream of a command, collected.
    private final class Pipe {
        private let readEnd: Int32
        private(set) var writeEnd: Int32
        private var bytes: [UInt8] = []
        private(set) var isAtEnd = false

        var text: String { String(decoding: bytes, as: UTF8.self) }

        init() throws(Failure) {
            // A pair of sockets: as good as a pipe here, and made close-on-exec and non-blocking in one call.
            var ends: [Int32] = [-1, -1]
            let type = Int32(SOCK_STREAM.rawValue) | O_CLOEXEC
            try check(socketpair(AF_UNIX, type, 0, &ends), "make a pipe", on: "socketpair")
            (readEnd, writeEnd) = (ends[0], ends[1])
        }

        deinit {
            closeWriteEnd()
            close(readEnd)
        }

        func closeWriteEnd() {
            if writeEnd >= 0 { close(writeEnd) }
            writeEnd = -1
        }

        /// Waits a moment for either and reads what there is.
        static func read(_ first: Pipe, _ second: Pipe) {
            // A negative descriptor is passed over.
            var polled = [first, second].map {
                pollfd(fd: $0.isAtEnd ? -1 : $0.readEnd, events: Int16(POLLIN), revents: 0)
            }
            guard poll(&polled, 2, 50) > 0 else { return }
            for (pipe, result) in zip([first, second], polled) where result.revents != 0 { pipe.readSome() }
        }

        private func readSome() {
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            let count = Glibc.read(readEnd, &buffer, buffer.count)
            if count > 0 { bytes.append(contentsOf: buffer[..<count]) }
            if count == 0 || (count < 0 && errno != EINTR) { isAtEnd = true }
        }
    }
}
