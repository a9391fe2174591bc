// SPDX-License-Identifier: Apache-2.0
import CFastpathProgram
import FastpathCore
import FastpathKernel
import FastpathLab

/// A policy table as a busy edge has it: a feed of that size, and some sources that are allowed.
struct CarrierTable {
    let size: Int
    let table: PolicyTable
    let allowed: [IPPrefix]
    private let lists: PolicyLists

    init(size: Int, _ random: inout SeededGenerator) throws(Failure) {
        self.size = size
        lists = PolicyLists(size: size, &random)
        var allowed: Set<IPPrefix> = []
        while allowed.count < BenchLists.allowedCount {
            allowed.insert(lists.sources(.ipv4, isHit: false, count: 1, &random)[0].address)
        }
        self.allowed = Array(allowed)
        // Both families together are more prefixes than one has; networks anywhere need their blocks.
        table = try PolicyTable.make(capacity: 4 * size)
        try table.apply(
            (lists.ipv4 + lists.ipv6).map { PolicyTableChange($0, .block) }
                + self.allowed.map { PolicyTableChange($0, .allow) }, now: PolicyTable.now())
    }

    func source(
        _ source: PacketKind.Source, _ family: IPPrefix.Family, _ random: inout SeededGenerator
    ) -> IPPrefix {
        switch source {
        case .allowed: return allowed[Int.random(in: allowed.indices, using: &random)]
        case .blocked, .stranger:
            while true {
                let found = lists.sources(family, isHit: source == .blocked, count: 1, &random)[0].address
                if !allowed.contains(found) { return found }
            }
        }
    }
}

/// Profile `carrier` with a table and with one of the settings that are compared.
struct CarrierProgram {
    /// What is compared; each is measured beside the others.
    enum Variant: String, CaseIterable {
        /// The public maps are not read, first lines up to 64 bytes.
        case frozen
        /// As `frozen`, with a million entries.
        case million
        /// As `frozen`, but the public maps are read as well.
        case live
        /// As `frozen`, with limits and a budget that nobody exceeds.
        case limited
        /// As `frozen`, with first lines up to 512 bytes.
        case long
    }

    let variant: Variant
    let table: CarrierTable
    let settings: FilterSettings
    let program: Program
    private let counterMap: BPFMap

    init(_ variant: Variant, _ table: CarrierTable) throws(Failure) {
        self.variant = variant
        self.table = table
        var settings = FilterSettings.carrier
        settings.hasLiveMaps = variant == .live
        settings.firstLineLimit =
            variant == .long ? FilterSettings.firstLineLimits.upperBound : FilterSettings.firstLineLimits.lowerBound
        if variant == .limited {
            let limit = RateLimit(10_000, per: .second, burst: 500_000, scope: .source)
            for requests in RequestClass.allCases { settings.limits[requests] = limit }
            settings.budget = RateLimit(10_000_000, per: .second, burst: 1_000_000, scope: .budget)
        }
        self.settings = settings
        var options = LoadedObject.Options(maps: table.table.maps)
        options.settings = settings
        let object = try LoadedObject.edge(path: nil, options: options)
        program = try object.program(edgeProgramName)
        counterMap = try object.map(PublicMap.counters.name)
    }

    /// What it has counted so far.
    func counters() throws(Failure) -> Counters { try readBenchCounters(counterMap) }

    /// What must become of a frame from such a source.
    func reason(for frame: [UInt8], from source: IPPrefix, _ kind: PacketKind.Source) -> Reason {
        let policy: [PolicyTableChange] =
            switch kind {
            case .blocked: [PolicyTableChange(source, .block)]
            case .allowed: [PolicyTableChange(source, .allow)]
            case .stranger: []
            }
        var filter = ReferenceFilter(settings: settings, policy: policy)
        return filter.judge(frame).reason
    }
}

/// What profile `carrier` is measured with: the kinds of packet of the contract, and what only this profile looks into.
enum CarrierKind: Hashable {
    case ipv4(PacketKind)
    case vlan
    case ipv6
    case ipv6Blocked
    case longLine
    case adversarial

    static let all: [CarrierKind] =
        PacketKind.allCases.filter { $0 != .laterBuffer }.map(CarrierKind.ipv4)
        + [.vlan, .ipv6, .ipv6Blocked, .longLine, .adversarial]

    var name: String {
        switch self {
        case .ipv4(let kind): kind.rawValue
        case .vlan: "vlan_invite"
        case .ipv6: "ipv6_invite"
        case .ipv6Blocked: "ipv6_blocked"
        case .longLine: "long_line"
        case .adversarial: "adversarial"
        }
    }

    var label: String {
        switch self {
        case .ipv4(let kind): kind.label
        case .vlan: "INVITE in a VLAN"
        case .ipv6: "INVITE by IPv6"
        case .ipv6Blocked: "blocked source, IPv6"
        case .longLine: "first line of 512 bytes"
        case .adversarial: "512 bytes of near misses"
        }
    }

    var source: PacketKind.Source {
        switch self {
        case .ipv4(let kind): kind.source
        case .ipv6Blocked: .blocked
        default: .stranger
        }
    }

    private var family: IPPrefix.Family { self == .ipv6 || self == .ipv6Blocked ? .ipv6 : .ipv4 }

    /// With the program that looks that far.
    var isLong: Bool { self == .longLine || self == .adversarial }

    /// A frame, and whom it is from.
    func frame(_ table: CarrierTable, number: Int, _ random: inout SeededGenerator) -> (
        frame: [UInt8], source: IPPrefix
    ) {
        let source = table.source(source, family, &random)
        let address = UInt32(truncatingIfNeeded: source.bits)
        func ipv4(_ kind: PacketKind) -> [UInt8] { kind.frame(from: address, number: number, &random) }
        switch self {
        case .ipv4(let kind): return (ipv4(kind), source)
        case .vlan:
            var frame = ipv4(.invite)
            frame.insert(contentsOf: [0x81, 0x00, 0x00, 0x07], at: 12)
            return (frame, source)
        case .ipv6, .ipv6Blocked: return (Self.ipv6(ipv4(.invite), from: source.bits), source)
        case .longLine:
            return (Self.withPayload("INVITE sip:", filler: "a", end: " SIP/2.0\r\n", of: ipv4(.invite)), source)
        case .adversarial: return (Self.withPayload("INVITE", filler: "SIP/2.1", end: "", of: ipv4(.invite)), source)
        }
    }

    /// The same datagram with an IPv6 header.
    private static func ipv6(_ frame: [UInt8], from source: UInt128) -> [UInt8] {
        let udp = frame[(Frame.ethernetLength + Frame.ipv4Length)...]
        let length = UInt16(udp.count)
        let server: UInt128 = 0x2001_0db8 << 96 | 1
        func bytes(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }
        return Array(frame[..<12]) + [0x86, 0xdd, 0x60, 0, 0, 0] + bytes(length) + [17, 64] + bytes(source)
            + bytes(server)
            + udp
    }

    /// A payload of 600 bytes whose first line is as long as can be, or does not end.
    private static func withPayload(_ start: String, filler: String, end: String, of frame: [UInt8]) -> [UInt8] {
        let length = FilterSettings.firstLineLimits.upperBound
        let room = length - start.utf8.count - end.utf8.filter { $0 >= 0x20 }.count
        let middle = String(repeating: filler, count: room / filler.utf8.count + 1).utf8.prefix(room)
        var payload = Array(start.utf8) + middle + Array(end.utf8)
        payload += [UInt8](repeating: UInt8(ascii: "x"), count: 600 - payload.count)
        var frame = Array(frame[..<Frame.payloadOffset]) + payload
        let ip = UInt16(frame.count - Frame.ethernetLength), udp = ip - UInt16(Frame.ipv4Length)
        frame.replaceSubrange(16..<18, with: [UInt8(ip >> 8), UInt8(truncatingIfNeeded: ip)])
        frame.replaceSubrange(38..<40, with: [UInt8(udp >> 8), UInt8(truncatingIfNeeded: udp)])
        return frame
    }
}
