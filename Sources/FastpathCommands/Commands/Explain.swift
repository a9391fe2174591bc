// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathKernel

struct Explain: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say what becomes of each packet of a capture, and why.",
        discussion: """
            Runs each packet through the real program, in an instance of its own: nothing live moves, no packet is \
            sent. The rules are those that 'up' would load, or with --interface those that are in force there. Reads pcap and pcapng with Ethernet or Linux cooked headers.

            With --json, one line a packet:
            {"packet":1,"verdict":"DROP","reason":"options_dropped","source":"192.0.2.1"}; a packet that the capture \
            cut short has "truncated":true as well.

            Examples:
              vos-fastpath explain --block 192.0.2.1 trace.pcap
              vos-fastpath explain --profile classic trace.pcap
              vos-fastpath explain --interface eth0 trace.pcap
              tcpdump -i eth0 -c 100 -w - udp port 5060 | vos-fastpath explain --interface eth0 -
            """)

    @OptionGroup var common: CommonOptions

    @OptionGroup var configuration: ConfigurationOptions

    @Option(help: ArgumentHelp("Act as if this source were on the block list. May be repeated.", valueName: "prefix"))
    var block: [String] = []

    @Option(help: ArgumentHelp("Act as if this source were on the allow list. May be repeated.", valueName: "prefix"))
    var allow: [String] = []

    @Option(
        help: ArgumentHelp("Use the rules, lists and sockets of the edge on this interface.", valueName: "iface"),
        completion: .interfaces)
    var interface: String?

    @Option(help: ArgumentHelp("Stop after so many packets.", valueName: "number"))
    var limit: Int?

    @Argument(help: "The capture; - for standard input.", completion: .file(extensions: ["pcap", "pcapng", "cap"]))
    var file: String

    func validate() throws {
        if interface != nil, !(block + allow).isEmpty {
            throw ValidationError("--interface brings its own lists: leave out --block and --allow")
        }
        if interface != nil, configuration.isGiven {
            throw ValidationError("--interface brings its own rules: leave out --profile, --config and the switches")
        }
        if let limit, limit < 1 { throw ValidationError("--limit must be 1 or more") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let blocked = try prefixes(block)
        let allowed = try prefixes(allow)
        let settings = try interface == nil ? configuration.settings(context.instance) : .classic
        let capture = try CaptureFile(path: file)
        try Host.requireReady()
        let program =
            if let interface { try twin(of: interface, context.instance) } else {
                try ProgramInstance(blocked: blocked, allowed: allowed, settings: settings)
            }
        return try Explanation(output: context.output, limit: limit).run(capture) { (frame) throws(Failure) in
            try frame.span.withUnsafeBytes { (bytes) throws(Failure) in try program.judge(frame: bytes) }
        }
    }

    private func prefixes(_ texts: [String]) throws(Failure) -> [IPPrefix] {
        try texts.map { (text) throws(Failure) in
            let prefix = try IPPrefix(text)
            try prefix.requireAddress()
            return prefix
        }
    }

    private func twin(of name: String, _ instance: Instance) throws(Failure) -> ProgramInstance {
        let kernel = KernelEdges(instance: instance)
        let interface = try kernel.interface(named: name)
        guard let edge = try kernel.edges().first(where: { $0.interface == interface && $0.isFiltering }) else {
            throw Failure(
                .notLoaded, tried: "use the policy of the interface", on: name, because: "no edge is attached there",
                next: "Attach it: vos-fastpath up \(name)")
        }
        return try kernel.twin(of: edge)
    }
}
