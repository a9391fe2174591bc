// SPDX-License-Identifier: Apache-2.0
import FastpathBench
import FastpathCore
import FastpathLab

/// The phases of a comparison beside each other.
struct ComparisonReport {
    /// Nil: the simulated network.
    var interface: String?
    /// The profile that filtered.
    var profile: String
    /// In the order of the phases.
    var phases: [Comparison.Measurement]

    /// A row a metric, a cell a phase; those without a value in any phase are left out.
    var rows: [(title: String, cells: [String])] {
        var rows: [(title: String, cells: [String])] = []
        let add = { (title: String, value: (Comparison.Measurement) -> String?) in
            let cells = phases.map(value)
            if cells.contains(where: { $0 != nil }) { rows.append((title, cells.map { $0 ?? "-" })) }
        }
        let count = { (title: String, value: (Comparison.Measurement) -> UInt64?) in
            add(title) { value($0).map { Format.count($0) } }
        }
        let percent = { (title: String, value: (Comparison.Measurement) -> Double?) in
            add(title) { value($0).map { Format.decimal($0, places: 1) + " %" } }
        }
        add("XDP") { $0.mode?.rawValue ?? "none" }
        count("Received packets") { $0.host.packets }
        add("Received packets a second") { Format.rate(Double($0.host.packets) / ($0.duration / .seconds(1))) }
        count("Received bytes") { $0.host.bytes }
        count("Dropped by the interface") { $0.host.dropped }
        percent("CPU in soft interrupts, of all CPUs") { $0.host.softirqPercent }
        percent("SIP server's CPU, of one CPU") { $0.sip?.serverPercent }
        count("Datagrams to the kernel's sockets") { $0.host.datagrams }
        count("Datagrams that nobody listened for") { $0.host.noPort }
        count("Datagrams lost at sockets") { $0.host.datagramErrors }
        count("  of these: buffer full") { $0.host.bufferErrors }
        for reason in Reason.counted { count(reason.label) { $0.counters?[reason] } }
        add("Phone's REGISTERs answered") { $0.sip.map { Self.answered($0.phone) } }
        add("  99 % of them within") { $0.sip.map { Self.time($0.phone) } }
        add("Trunk's OPTIONS answered") { $0.sip.map { Self.answered($0.trunk) } }
        add("  99 % of them within") { $0.sip.map { Self.time($0.trunk) } }
        return rows
    }

    private static func answered(_ report: SIPpReport) -> String {
        "\(Format.count(report.answered)) of \(Format.count(report.attempted))"
    }

    private static func time(_ report: SIPpReport) -> String {
        report.percentile(0.99).map { "\(Format.decimal($0 / .milliseconds(1), places: 1)) ms" } ?? "-"
    }

    var table: Table {
        var table = Table([.left("")] + phases.map { .right($0.phase.title.uppercased()) })
        for row in rows { table.add(([row.title] + row.cells).map { Styled($0) }) }
        return table
    }

    // MARK: JSON

    var json: JSONValue {
        [
            "interface": .optional(interface), "profile": .string(profile), "version": .string(VosFastpath.version),
            "phases": .array(phases.map(Self.json)),
        ]
    }

    private static func json(_ phase: Comparison.Measurement) -> JSONValue {
        let host = phase.host
        return [
            "phase": .string(phase.phase.rawValue), "seconds": .double(rounded(phase.duration / .seconds(1))),
            "mode": .optional(phase.mode?.rawValue),
            "received": [
                "packets": .number(host.packets), "bytes": .number(host.bytes), "dropped": .number(host.dropped),
            ],
            "softirq_percent": .double(rounded(host.softirqPercent)), "cpu_percent": .double(rounded(host.busyPercent)),
            "udp": [
                "datagrams": .number(host.datagrams), "errors": .number(host.datagramErrors),
                "buffer_full": .number(host.bufferErrors), "no_port": .number(host.noPort),
            ],
            "counters": phase.counters?.json ?? .null,
            "sip": phase.sip.map { sip in
                [
                    "server_cpu_percent": .double(rounded(sip.serverPercent)), "bad_frames": .number(sip.bad),
                    "phone": json(sip.phone), "trunk": json(sip.trunk),
                ]
            } ?? .null,
        ]
    }

    private static func json(_ report: SIPpReport) -> JSONValue {
        [
            "attempted": .number(report.attempted), "answered": .number(report.answered),
            "retransmissions": .number(report.retransmissions),
            "p99_ms": report.percentile(0.99).map { .double(rounded($0 / .milliseconds(1))) } ?? .null,
        ]
    }

    /// To a hundredth.
    private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}

extension Comparison.Phase {
    /// For people.
    var title: String {
        switch self {
        case .baseline: "Baseline"
        case .edge: "With the edge"
        case .sockets: "With AF_XDP too"
        case .after: "After unload"
        }
    }
}
