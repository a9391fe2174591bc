// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// What stands before the SIP server when it is flooded.
public enum FloodGuard: String, CaseIterable, Hashable, Sendable {
    case none
    case edge
    case nft
    case ipset

    public var label: String {
        switch self {
        case .none: "nothing"
        case .edge: "the edge, native"
        case .nft: "nft"
        case .ipset: "ipset, iptables"
        }
    }
}

/// The same policy for all of them: one source is blocked, the trunk is trusted, OPTIONS of strangers are dropped, each
/// stranger has 50 requests a second (100 at once), all strangers together 2,000 (4,000 at once). What "malformed" means
/// the edge alone knows.
struct FloodPolicy {
    let network: SIPNetwork
    let blocked: IPPrefix
    let trusted: IPPrefix
    /// The path of `vos-fastpath`.
    let command: String

    private static let instance = Bench.name
    private var host: LabHost { network.edge }
    private var folder: String { "/run/vos-fastpath-lab/\(Bench.name)" }

    func setUp(_ guardian: FloodGuard) throws(Failure) {
        switch guardian {
        case .none: break
        case .edge:
            try edge(["block", "add", "\(blocked)"])
            try edge(["trust", "add", "\(trusted)"])
            let limits = RequestClass.allCases.flatMap { ["--limit", "\($0.name)=50/s:100"] }
            for interface in network.edgeInterfaces {
                try edge(["up", interface.name, "--mode", "native", "--limit", "budget=2000/s:4000"] + limits)
            }
        case .nft:
            try writeFile(nftRules, to: "\(folder)/flood.nft")
            try shell(["nft", "-f", "\(folder)/flood.nft"])
        case .ipset:
            for rule in Self.iptablesRules(blocked, trusted) { try shell(rule) }
        }
    }

    /// Also after a set-up that failed half-way.
    func tearDown(_ guardian: FloodGuard) {
        switch guardian {
        case .none: break
        case .edge: try? edge(["down", "--all", "--purge"])
        case .nft: try? shell(["nft", "delete", "table", "ip", "flood"])
        case .ipset:
            try? shell(["iptables", "-t", "raw", "-F", "PREROUTING"])
            for set in ["flood_blocked", "flood_trusted"] { try? shell(["ipset", "destroy", set]) }
        }
    }

    private func edge(_ arguments: [String]) throws(Failure) {
        let outcome = try Shell.outcome(
            of: [command] + arguments, in: host.namespace, timeout: .seconds(20),
            environment: [Instance.environmentVariable: Self.instance])
        guard outcome.exit == .code(0) else {
            throw Failure(
                tried: "put the edge before the SIP server", on: arguments.joined(separator: " "),
                because: "the command failed", next: "Read what it said below.", details: outcome.errors)
        }
    }

    private func shell(_ arguments: [String]) throws(Failure) { try Shell.run(arguments, in: host.namespace) }

    private var nftRules: String {
        """
        table ip flood {
            set blocked { type ipv4_addr; size 1024; elements = { \(blocked) } }
            set trusted { type ipv4_addr; size 1024; elements = { \(trusted) } }
            set talkers { type ipv4_addr; flags dynamic; size 65536; timeout 10s; }
            chain guard {
                type filter hook prerouting priority -300; policy accept;
                udp dport != 5060 accept
                ip saddr @trusted accept
                ip saddr @blocked counter drop
                @th,64,64 0x4f5054494f4e5320 drop comment "OPTIONS "
                @th,64,56 0x5349502f322e30 accept comment "SIP/2.0"
                update @talkers { ip saddr limit rate over 50/second burst 100 packets } drop
                limit rate over 2000/second burst 4000 packets drop
            }
        }

        """
    }

    private static func iptablesRules(_ blocked: IPPrefix, _ trusted: IPPrefix) -> [[String]] {
        let append = ["iptables", "-t", "raw", "-A", "PREROUTING", "-p", "udp", "--dport", "5060"]
        let text = ["-m", "string", "--algo", "bm", "--from", "28", "--to", "40", "--string"]
        return [
            ["ipset", "create", "flood_blocked", "hash:ip"], ["ipset", "add", "flood_blocked", "\(blocked)"],
            ["ipset", "create", "flood_trusted", "hash:ip"], ["ipset", "add", "flood_trusted", "\(trusted)"],
            append + ["-m", "set", "--match-set", "flood_trusted", "src", "-j", "ACCEPT"],
            append + ["-m", "set", "--match-set", "flood_blocked", "src", "-j", "DROP"],
            append + text + ["OPTIONS ", "-j", "DROP"],
            append + text + ["SIP/2.0 ", "-j", "ACCEPT"],
            append + [
                "-m", "hashlimit", "--hashlimit-above", "50/sec", "--hashlimit-burst", "100", "--hashlimit-mode",
                "srcip",
                "--hashlimit-name", "flood", "--hashlimit-htable-size", "16384", "--hashlimit-htable-max", "65536",
                "-j",
                "DROP",
            ],
            append + ["-m", "limit", "--limit", "2000/sec", "--limit-burst", "4000", "-j", "ACCEPT"],
            append + ["-j", "DROP"],
        ]
    }
}
