// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathKernel

struct Explain: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Say what becomes of each packet of a capture, and why.",
        discussion: """
            Runs each packet through the real program, in an instance of its own: no packet is sent, and no counter of \
            an interface moves. The rules are those that 'up' would load, and the time is the capture's own, so that \
            limits and budgets act as they would have acted then. A packet whose time is before the last one's is \
            taken as it comes. Rules in dry run, and SIP that passes as a switch is off, are told beside the verdict.

            With --interface the rules, lists and sockets are those that are in force there. The policy table is \
            shared with the interface: the hits of block entries that match count there. The clock is the real one, so \
            limits take the whole capture as one moment.

            Reads pcap and pcapng with Ethernet or Linux cooked headers.

            With --json, one line a packet:
            {"packet":1,"verdict":"DROP","reason":"options_dropped","source":"192.0.2.1"}; a packet that the capture \
            cut short has "truncated":true as well, one that a rule in dry run would drop "would_be":"malformed", and one \
            that passes unfiltered "unfiltered":"ipv6", the switch.

            Examples:
              vos-fastpath explain --block 192.0.2.1 trace.pcap
              vos-fastpath explain --block 192.0.2.0/24 --trust 2001:db8::/48 --limit register=5/s:20 trace.pcap
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

    @Option(help: ArgumentHelp("Act as if this source were on the trust list. May be repeated.", valueName: "prefix"))
    var trust: [String] = []

    @Option(
        help: ArgumentHelp("Use the rules, lists and sockets of the edge on this interface.", valueName: "iface"),
        completion: .interfaces)
    var interface: String?

    @Option(help: ArgumentHelp("Stop after so many packets.", valueName: "number"))
    var packets: Int?

    @Argument(help: "The capture; - for standard input.", completion: .file(extensions: ["pcap", "pcapng", "cap"]))
    var file: String

    func validate() throws {
        if interface != nil, !(block + allow + trust).isEmpty {
            throw ValidationError("--interface brings its own lists: leave out --block, --allow and --trust")
        }
        if interface != nil, configuration.isGiven {
            throw ValidationError("--interface brings its own rules: leave out --profile, --config and the switches")
        }
        if let packets, packets < 1 { throw ValidationError("--packets must be 1 or more") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let settings = try interface == nil ? configuration.settings(context.instance) : .classic
        let lists = try ExplainLists(
            [.block: try block.map(prefix), .allow: try allow.map(prefix), .trust: try trust.map(prefix)], settings)
        let capture = try CaptureFile(path: file)
        try Host.requireReady()
        let program =
            if let interface { try twin(of: interface, context.instance) } else { try instance(lists, settings) }
        return try Explanation(output: context.output, limit: packets).run(capture) { (packet) throws(Failure) in
            let time = UInt64(clamping: packet.time / 1_000)
            return try packet.frame.span.withUnsafeBytes { (bytes) throws(Failure) in
                try program.explain(frame: bytes, at: time)
            }
        }
    }

    private func prefix(_ text: String) throws(Failure) -> IPPrefix { try IPPrefix(text) }

    /// With a table of its own, which has the clock as well.
    private func instance(_ lists: ExplainLists, _ settings: FilterSettings) throws(Failure) -> ProgramInstance {
        let table = try PolicyTable.make(capacity: max(1_024, 2 * lists.inTable.count))
        try table.apply(lists.inTable, now: 1)
        return try ProgramInstance(
            blocked: lists.inMaps[.block] ?? [], allowed: lists.inMaps[.allow] ?? [], table: table, settings: settings)
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

/// Where the entries of the command line go.
struct ExplainLists: Hashable {
    var inTable: [PolicyTableChange] = []
    var inMaps: [PolicyKind: [IPPrefix]] = [:]

    /// Throws `.usage` for what programs with these settings have no place for: without the switch `policy` they read the
    /// public maps alone, which hold single IPv4 addresses to block and to allow.
    init(_ entries: [PolicyKind: [IPPrefix]], _ settings: FilterSettings) throws(Failure) {
        for kind in PolicyKind.allCases {
            let prefixes = entries[kind] ?? []
            if settings.isOn(.policy) {
                inTable += prefixes.map { PolicyTableChange($0, kind.tableKind) }
                continue
            }
            for prefix in prefixes where kind.map == nil || prefix.ipv4Address == nil {
                throw Failure(
                    .usage, tried: "take it for the \(kind.listName)", on: prefix.description,
                    because: "the switch \(FilterSwitch.policy.name) is off: programs then read the public maps alone, "
                        + "which hold single IPv4 addresses to block and to allow",
                    next:
                        "Turn it on: --switch \(FilterSwitch.policy.name)=on, or --profile \(Profile.carrier.rawValue)."
                )
            }
            inMaps[kind] = prefixes
        }
    }
}
