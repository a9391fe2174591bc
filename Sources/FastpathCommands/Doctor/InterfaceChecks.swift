// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// What `doctor` looks at on an interface. Nil is what could not be seen.
struct InterfaceFacts {
    var name: String
    var isUp: Bool
    /// Bytes.
    var mtu: Int
    var driver: String?
    var xdp: XDPFeatures?
    /// Receive queues in use.
    var queues: Int
    /// Receive queues that the NIC could have.
    var mostQueues: Int?
    var processors: Int
    /// As `ethtool -k` names them.
    var activeFeatures: Set<String>?
    /// Interfaces on top of this one: VLANs, bonds, bridges.
    var uppers: [String]
    /// Does the program look through VLAN tags: the one that runs there, else the one that `up` would load?
    var looksThroughTags: Bool
    /// Programs attached, by mode.
    var programs: [Attached]

    struct Attached {
        var mode: XDPMode
        var id: UInt32
        /// Nil without the privilege to ask.
        var name: String?
        var isEdge: Bool?
    }

    static func gather(_ name: String, looksThroughTags: Bool) throws(Failure) -> InterfaceFacts {
        guard let link = try LinkTable.read().first(where: { $0.name == name }) else {
            throw Failure(
                .noInterface, tried: "find the interface", on: name,
                because: "this network namespace has none of that name",
                next: "`ip -br link` lists them.")
        }
        let folder = "/sys/class/net/\(name)"
        let ethtool = Ethtool(interface: name)
        let channels = ethtool?.receiveChannels()
        let folders = namesInFolder("\(folder)/queues").count { $0.hasPrefix("rx-") }
        return InterfaceFacts(
            name: name, isUp: link.isUp, mtu: Int(link.mtu), driver: driverName(of: name),
            xdp: XDPFeatures(interface: link.index),
            queues: channels.map(\.current) ?? (folders > 0 ? folders : Int(link.receiveQueues)),
            mostQueues: channels.map(\.most), processors: onlineProcessors(),
            activeFeatures: ethtool?.activeFeatures(),
            uppers: namesInFolder(folder).filter { $0.hasPrefix("upper_") }.map { String($0.dropFirst(6)) }.sorted(),
            looksThroughTags: looksThroughTags, programs: link.programs.map(attached).sorted { $0.id < $1.id })
    }

    private static func attached(mode: XDPMode, id: UInt32) -> Attached {
        let program = try? Program.withID(id)
        return Attached(mode: mode, id: id, name: program?.name, isEdge: program.flatMap { try? $0.isEdge() })
    }
}

/// The checks of an interface, in order of display.
func interfaceFindings(_ facts: InterfaceFacts) -> [Finding] {
    [
        linkFinding(facts), driverFinding(facts), mtuFinding(facts), queuesFinding(facts), mergingFinding(facts),
        vlanFinding(facts), programFinding(facts),
    ]
}

/// SIP that passed unfiltered there, as a switch of the program that runs is off.
func unfilteredFindings(_ notes: EdgeNotes, _ settings: FilterSettings) -> [Finding] {
    let check = "unfiltered"
    let sentences = notes.unfilteredSentences(settings)
    if settings.isClassic { return sentences.map { .ok(check, $0) } }
    if sentences.isEmpty { return [.ok(check, "no SIP passed for a switch that is off")] }
    return zip(notes.unfilteredRows, sentences).map { row, sentence in
        .warn(check, sentence, "See docs/PROFILES.md for what the switch \(row.filterSwitch.name) does.")
    }
}

/// Who reads its AF_XDP sockets, where there are some or were.
func socketFindings(_ consumers: InterfaceConsumers, _ interface: String) -> [Finding] {
    guard consumers.isOfInterest else { return [] }
    let check = "AF_XDP"
    var findings: [Finding] = []
    for (queue, state) in zip(consumers.queues, consumers.states()) {
        guard case .silent = state else { continue }
        findings.append(
            .warn(
                check, "queue \(queue.queue): its reader is \(state.text), and its packets go to the kernel",
                "See who it is with 'vos-fastpath sockets \(interface)'; a server that hangs must be started again."))
    }
    let lost = consumers.count(.ringFull)
    if lost > 0 {
        findings.append(
            .warn(
                check, "\(Format.plural(Int(clamping: lost), "packet")) \(ConsumerCount.ringFull.label)",
                "The server reads too slowly at times: more workers, or larger rings (VOS_FASTPATH_RING=8192)."))
    }
    let unwanted = consumers.refused(.unwanted)
    if unwanted > 0 {
        findings.append(
            .warn(
                check,
                "\(Format.plural(Int(clamping: unwanted), "packet")) went to the kernel, "
                    + RegisteredConsumer.Refusal.unwanted.label,
                "Compare 'vos-fastpath sockets \(interface)' with the addresses that the server listens on; for others it is "
                    + "as it should be."))
    }
    return findings.isEmpty ? [.ok(check, String(consumers.summary.dropFirst("AF_XDP: ".count)))] : findings
}

private func linkFinding(_ facts: InterfaceFacts) -> Finding {
    guard facts.isUp else {
        return .warn("link", "\(facts.name) is down", "ip link set dev \(facts.name) up")
    }
    return .ok("link", "\(facts.name) is up")
}

private func driverFinding(_ facts: InterfaceFacts) -> Finding {
    let driver = facts.driver ?? "unknown"
    guard let xdp = facts.xdp else {
        return .ok("driver", "\(driver); this kernel does not tell what it can (Linux 6.3 does): 'up' will try")
    }
    guard xdp.contains(.basic) else {
        return .warn(
            "driver", "\(driver): no native XDP",
            "'up' falls back to generic mode: slower, and merged packets count as one.")
    }
    var abilities = ["native XDP"]
    if xdp.contains(.redirect) { abilities.append("redirect") }
    if xdp.contains(.zeroCopy) { abilities.append("AF_XDP zero copy") }
    if xdp.contains(.severalBuffers) { abilities.append("large frames") }
    return .ok("driver", "\(driver): \(abilities.joined(separator: ", "))")
}

/// A frame of one buffer shares a page with the headroom (256 bytes) and struct skb_shared_info: about 3,500 bytes
/// are left for it.
private let longestSingleBuffer = 3_498

private func mtuFinding(_ facts: InterfaceFacts) -> Finding {
    guard facts.mtu > longestSingleBuffer, let xdp = facts.xdp, xdp.contains(.basic) else {
        return .ok("MTU", Format.count(facts.mtu))
    }
    guard xdp.contains(.severalBuffers) else {
        return .warn(
            "MTU", "\(Format.count(facts.mtu)): more than the driver takes in native mode",
            "ip link set dev \(facts.name) mtu 1500, or live with generic mode.")
    }
    return .ok("MTU", "\(Format.count(facts.mtu)), in several buffers")
}

private func queuesFinding(_ facts: InterfaceFacts) -> Finding {
    let processors = Format.plural(facts.processors, "CPU")
    let text = "\(Format.plural(facts.queues, "receive queue")), \(processors)"
    let sockets = PublicMap.xsks.defaultCapacity
    guard facts.queues <= sockets else {
        return .warn(
            "queues", "\(text): \(PublicMap.xsks.name) has \(sockets) slots",
            "For AF_XDP: ethtool -L \(facts.name) combined \(sockets)")
    }
    let possible = min(facts.mostQueues ?? facts.queues, facts.processors)
    guard facts.queues >= possible else {
        return .warn(
            "queues", "\(text): the NIC could have \(possible)", "ethtool -L \(facts.name) combined \(possible)")
    }
    return .ok("queues", text)
}

/// Generic mode runs behind GRO: what was merged is seen as one packet, judged by its first. Native mode runs before.
private func mergingFinding(_ facts: InterfaceFacts) -> Finding {
    guard let active = facts.activeFeatures else {
        return .warn("GRO/LRO", "could not be read", "ethtool -k \(facts.name)")
    }
    let generic = facts.programs.contains { $0.mode == .generic } || facts.xdp.map { !$0.contains(.basic) } ?? false
    if active.contains("rx-lro") || active.contains("rx-gro-hw") {
        return .warn(
            "GRO/LRO", "the NIC merges packets: some drivers refuse native mode then",
            "ethtool -K \(facts.name) lro off rx-gro-hw off")
    }
    guard active.contains("rx-gro") else { return .ok("GRO/LRO", "off") }
    if generic {
        return .warn(
            "GRO/LRO", "GRO is on, and generic mode sees merged UDP packets as one",
            "ethtool -K \(facts.name) gro off")
    }
    return .ok("GRO/LRO", "GRO only, which native mode is not affected by")
}

private func vlanFinding(_ facts: InterfaceFacts) -> Finding {
    let isStripping = facts.activeFeatures?.contains("rx-vlan-hw-parse")
    guard !facts.uppers.isEmpty else {
        return .ok("VLAN", isStripping == true ? "no interface on top; the NIC takes tags off" : "no interface on top")
    }
    let names = facts.uppers.joined(separator: ", ")
    if facts.looksThroughTags { return .ok("VLAN", "\(names) on top; the program looks through two tags") }
    guard isStripping == true else {
        return .warn(
            "VLAN", "\(names) on top: packets with a VLAN tag in the frame are passed unfiltered",
            "Turn the switch \(FilterSwitch.vlan.name) on, or put the edge on the interface on top.")
    }
    return .ok("VLAN", "\(names) on top; the NIC takes tags off before the program sees them")
}

private func programFinding(_ facts: InterfaceFacts) -> Finding {
    let texts = facts.programs.map { "\($0.name ?? "program") (id \($0.id), \($0.mode.rawValue))" }
    guard let first = facts.programs.first else { return .ok("XDP", "nothing attached") }
    let list = texts.joined(separator: ", ")
    if facts.programs.contains(where: { $0.isEdge == false }) {
        return .warn(
            "XDP", "another program is attached: \(list)",
            "Take it off (ip link set dev \(facts.name) xdp off), or replace it: vos-fastpath up \(facts.name) --force")
    }
    guard first.isEdge == true else {
        return .warn("XDP", "\(list); only root sees whose it is", "Run it with sudo.")
    }
    return .ok("XDP", "the edge is attached: \(list)")
}
