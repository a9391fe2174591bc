// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathKernel
import Glibc

struct Exec: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec",
        abstract: "Run a SIP server, unmodified, with AF_XDP under its UDP sockets.",
        discussion: """
            Preloads \(PreloadLibrary.name) and becomes the server: same process, same arguments. When the server binds \
            one of the ports, its datagrams come by AF_XDP rings from the interfaces with an edge, and by the kernel \
            whenever the short way is not to be had. It needs root until the ports are bound.

            The library is \(PreloadLibrary.variable), else beside this command, else in ../lib/vos-fastpath, else in \
            /usr/lib/vos-fastpath. 'vos-fastpath sockets' shows what it does.

            Example:
              vos-fastpath exec --interface eth0 -- opensips -F -f opensips.cfg
            """)

    @OptionGroup var common: CommonOptions

    @Option(
        help: ArgumentHelp(
            "Take over from this interface. May be repeated (default: all with an edge).", valueName: "iface"),
        completion: .interfaces)
    var interface: [String] = []

    @Option(
        help: ArgumentHelp(
            "A UDP port that the server binds. May be repeated (default: \(Listener.sipPort)).", valueName: "n"))
    var port: [Int] = []

    @Option(
        help: ArgumentHelp("Where the library's lines go: 'stderr', 'off', or a file.", valueName: "where"),
        completion: .file())
    var log: String?

    @Flag(help: "Send by a ring too, where the kernel has a route and a neighbour.")
    var tx = false

    @Argument(
        parsing: .postTerminator, help: ArgumentHelp("The server and its arguments, behind '--'.", valueName: "command")
    )
    var command: [String] = []

    func validate() throws {
        if command.isEmpty { throw ValidationError("the command to run is missing; it stands behind '--'") }
        if port.contains(where: { UInt16(exactly: $0) ?? 0 == 0 }) {
            throw ValidationError("--port must be from 1 to \(UInt16.max)")
        }
        if log == "" { throw ValidationError("--log takes 'stderr', 'off', or a file") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let executable = try Executable(command[0], search: environmentVariable("PATH"))
        if let refusal = executable.refusal() {
            throw Failure(
                .unsupported, tried: "run it with the library", on: executable.path, because: refusal,
                next: "Run the server itself, as root; or without 'vos-fastpath exec', on the kernel's socket.")
        }
        let library = try PreloadLibrary.find(
            named: environmentVariable(PreloadLibrary.variable), command: ownPath())
        let request = PreloadRequest(
            interfaces: interface, ports: port.compactMap { UInt16(exactly: $0) }, log: try log.map(Self.place),
            transmits: tx, instance: context.instance, library: library)
        let plan = try PreloadEnvironment(
            request, .gather(context.instance), environment: environmentVariable)
        for warning in plan.warnings { context.output.warning(warning) }
        for (name, value) in plan.variables { setenv(name, value, 1) }
        throw become(command)
    }

    /// The library takes whole paths: a server may change its folder.
    static func place(_ text: String) throws(Failure) -> String {
        if text == "off" || text == "stderr" || text.hasPrefix("/") { return text }
        guard let folder = getcwd(nil, 0) else {
            throw Failure(
                .usage, tried: "find the log", on: text, because: String(cString: strerror(errno)),
                next: "Give its whole path.")
        }
        defer { free(folder) }
        return "\(String(cString: folder))/\(text)"
    }

    /// Becomes the server; returns why not.
    private func become(_ command: [String]) -> Failure {
        InheritedSignals.restore()
        var words: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var code = ENOENT
        if let name = words[0] {
            execvp(name, words)
            code = errno
        }
        return Failure(
            .system(errno: code), tried: "run the program", on: command[0], because: errorText(code),
            next: "Run it by hand, without 'vos-fastpath exec', to see what it lacks.")
    }
}

/// What whoever started us had set, for the program that takes our place.
enum InheritedSignals {
    nonisolated(unsafe) private static var ignoresPipe = false

    /// Takes SIGPIPE's default for us; to be called once, before there are threads.
    static func takePipe() {
        var before = sigaction()
        sigaction(SIGPIPE, nil, &before)
        ignoresPipe = before.__sigaction_handler.sa_handler.map { unsafeBitCast($0, to: Int.self) } == 1
        signal(SIGPIPE, SIG_DFL)
    }

    static func restore() {
        if ignoresPipe { signal(SIGPIPE, SIG_IGN) }
    }
}
