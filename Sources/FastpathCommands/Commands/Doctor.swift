// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import Glibc

struct Doctor: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check whether this host, and an interface, can run the edge.",
        discussion: """
            Each line is ok, warn or fail, with what to do. Changes nothing. Works without root as far as it can.
            Exit code 1 when a check failed; warnings leave it at 0.

            Example:
              vos-fastpath doctor eth0
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "An interface to check as well.", completion: .interfaces)
    var interface: String?

    func run(_ context: Context) throws(Failure) -> Outcome {
        var findings = hostFindings(.gather(context.instance))
        if let interface {
            let running = (try? context.edgeControl().settings(of: interface)) ?? nil
            let settings = try? running ?? ConfigurationOptions.defaults(context.instance)
            let looksThroughTags = (settings ?? Configuration().settings).isOn(.vlan)
            findings += interfaceFindings(try .gather(interface, looksThroughTags: looksThroughTags))
            if running != nil, let row = try? context.edgeControl().consumers(of: interface).rows.first {
                findings += socketFindings(row.consumers, interface)
            }
            if let running, let notes = try? context.edgeControl().notes(of: interface) {
                findings += unfilteredFindings(notes, running)
            }
        }
        if context.output.isJSON {
            context.output.json(["checks": .array(findings.map(\.json))])
        } else {
            show(findings, context.output)
        }
        return findings.contains { $0.grade == .fail } ? .failed : .done
    }

    private func show(_ findings: [Finding], _ output: Output) {
        let width = findings.map(\.check.count).max() ?? 0
        for finding in findings {
            let fill = String(repeating: " ", count: width - finding.check.count)
            let grade = finding.grade.rawValue
            output.line(
                Styled(grade, finding.grade.style), Styled(String(repeating: " ", count: 6 - grade.count)),
                Styled(finding.check + fill, .bold), Styled("  \(finding.detail)"))
            if !finding.advice.isEmpty {
                output.line("      " + String(repeating: " ", count: width) + "  -> " + finding.advice)
            }
        }
        let number = { (grade: Finding.Grade) in findings.count { $0.grade == grade } }
        output.line()
        output.line("\(number(.ok)) ok, \(number(.warn)) warn, \(number(.fail)) fail")
        if interface == nil { output.note("an interface is checked as well with 'vos-fastpath doctor IFACE'") }
    }
}

/// How many CPUs run.
func onlineProcessors() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

extension CompletionKind {
    /// Names of network interfaces.
    static var interfaces: CompletionKind { .shellCommand("ls /sys/class/net") }
}
