// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct TuneShow: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show the machine's caches, NIC interrupts, busy polling, and the SIP server's CPUs.",
        discussion: """
            Each line of the first table is a cache domain: CPUs that share their last-level cache. The last column says \
            how many interrupts of which interface they take. Changes nothing.

            Example:
              vos-fastpath tune show
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("This interface only.", valueName: "iface"))
    var interface: String?

    func run(_ context: Context) throws(Failure) -> Outcome {
        let report = try context.tuning().report(of: interface)
        if context.output.isJSON { context.output.json(report.json) } else { context.output.show(report) }
        return .done
    }
}

extension Output {
    func show(_ report: TuningReport) {
        var domains = Table([.left("CPUS"), .left("SHARE"), .right("NODE"), .left("INTERRUPTS")])
        for domain in report.topology.domains {
            domains.add([
                Styled("\(domain.cpus)", .bold), Styled(domain.level.map { "L\($0)" } ?? "-"),
                Styled(domain.node.map { "\($0)" } ?? "-"), Styled(report.interrupts(in: domain)),
            ])
        }
        table(domains)
        line()
        if !report.interfaces.isEmpty {
            var interfaces = Table([.left("INTERFACE"), .right("INTERRUPTS"), .left("CPUS")])
            for interface in report.interfaces {
                interfaces.add([
                    Styled(interface.name, .bold), Styled("\(interface.interrupts.count)"),
                    Styled(interface.interrupts.isEmpty ? "-" : "\(interface.cpus)"),
                ])
            }
            table(interfaces)
            line()
        }
        showSettings(report.settings)
        line()
        showServers(report.servers)
    }

    private func showSettings(_ rows: [TuningReport.Setting]) {
        var settings = Table([.left("SETTING"), .right("MICROSECONDS"), .right("BEFORE")])
        for row in rows {
            settings.add([
                Styled(row.setting.key), Styled(row.now.map { "\($0)" } ?? "-"),
                Styled(row.before.map { "\($0)" } ?? "-"),
            ])
        }
        table(settings)
    }

    private func showServers(_ rows: [TuningReport.Server]) {
        guard !rows.isEmpty else {
            line("No SIP server runs here that is called \(Tuning.servers.joined(separator: ", ")).")
            return
        }
        var servers = Table([
            .left("SERVER"), .right("PROCESS"), .right("THREADS"), .left("CPUS"), .left("BEFORE"),
        ])
        for server in rows {
            servers.add([
                Styled(printable(server.name.utf8), .bold), Styled("\(server.process)"), Styled("\(server.threads)"),
                Styled("\(server.cpus)"), Styled(server.before?.description ?? "-"),
            ])
        }
        table(servers)
    }
}

extension TuningReport {
    /// "eth0 4, eth1 2"; "-" for none.
    fileprivate func interrupts(in domain: CacheDomain) -> String {
        let parts = interfaces.compactMap { interface -> String? in
            let number = interface.interrupts.count { !$0.cpus.intersection(domain.cpus).isEmpty }
            return number == 0 ? nil : "\(interface.name) \(number)"
        }
        return parts.isEmpty ? "-" : parts.joined(separator: ", ")
    }

    var json: JSONValue {
        [
            "online": .string(topology.online.description),
            "domains": .array(
                topology.domains.map {
                    [
                        "cpus": .string($0.cpus.description), "level": $0.level.map { .number($0) } ?? .null,
                        "node": $0.node.map { .number($0) } ?? .null,
                    ]
                }),
            "interfaces": .array(
                interfaces.map { interface in
                    [
                        "name": .string(interface.name), "cpus": .string(interface.cpus.description),
                        "interrupts": .array(
                            interface.interrupts.map {
                                ["number": .number($0.number), "cpus": .string($0.cpus.description)]
                            }),
                    ]
                }),
            "settings": .array(
                settings.map {
                    [
                        "setting": .string($0.setting.key), "now": $0.now.map { .number($0) } ?? .null,
                        "before": $0.before.map { .number($0) } ?? .null,
                    ]
                }),
            "servers": .array(
                servers.map {
                    [
                        "process": .number($0.process), "name": .string($0.name), "threads": .number($0.threads),
                        "cpus": .string($0.cpus.description), "before": .optional($0.before?.description),
                    ]
                }),
        ]
    }
}
