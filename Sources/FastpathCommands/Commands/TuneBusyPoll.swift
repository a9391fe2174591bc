// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct TuneBusyPoll: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "busy-poll",
        abstract: "Let sockets look at the NIC's queue themselves before they sleep.",
        discussion: """
            Sets net.core.busy_poll (epoll, poll, select) and net.core.busy_read (reads, and which sockets poll looks \
            at), each to 50 microseconds; with --poll or --read what is named alone. It saves an interrupt and costs CPU \
            time. Servers that run already take busy_read with their next sockets: restart them.

            Examples:
              vos-fastpath tune busy-poll
              vos-fastpath tune busy-poll --poll 100
              vos-fastpath tune busy-poll --restore
            """)

    /// Below 10 there is no gain, beyond 100 only cost (Documentation/admin-guide/sysctl/net.rst recommends 50).
    static let microseconds = 50

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("net.core.busy_poll, in microseconds.", valueName: "us"))
    var poll: Int?

    @Option(help: ArgumentHelp("net.core.busy_read, in microseconds.", valueName: "us"))
    var read: Int?

    @Flag(help: "Turn both off: 0 microseconds.")
    var off = false

    @Flag(help: "Put back what was set before.")
    var restore = false

    @Flag(help: "Say what would be set, and change nothing.")
    var dryRun = false

    func validate() throws {
        for (option, value) in [("--poll", poll), ("--read", read)] {
            guard let value else { continue }
            if !(0...999_999).contains(value) { throw ValidationError("\(option) must be from 0 to 999999") }
            if off || restore { throw ValidationError("\(option) does not go with --off and --restore") }
        }
        if off && restore { throw ValidationError("give --off or --restore") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let tuning = context.tuning()
        let changes =
            restore
            ? try tuning.restoreBusyPolling(dryRun: dryRun) : try tuning.setBusyPolling(wanted, dryRun: dryRun)
        context.output.show(changes, dryRun: dryRun)
        if changes.isEmpty {
            context.output.note("nothing is remembered of this boot: there is nothing to put back")
        } else if !restore && !dryRun && !context.output.isJSON {
            context.output.line(Self.persistence(changes))
        }
        return .done
    }

    private var wanted: [BusyPollSetting: Int] {
        if off { return [.poll: 0, .read: 0] }
        if poll == nil && read == nil { return [.poll: Self.microseconds, .read: Self.microseconds] }
        var wanted: [BusyPollSetting: Int] = [:]
        wanted[.poll] = poll
        wanted[.read] = read
        return wanted
    }

    private static func persistence(_ changes: [BusyPollChange]) -> String {
        let lines = changes.map { "\($0.setting.key)=\($0.after)" }
        let text = lines.count == 1 ? "echo \(lines[0])" : "printf '%s\\n' \(lines.joined(separator: " "))"
        return "To keep it over a reboot: \(text) > /etc/sysctl.d/60-vos-fastpath.conf"
    }
}

extension Output {
    fileprivate func show(_ changes: [BusyPollChange], dryRun: Bool) {
        guard !isJSON else {
            json(["dry_run": .bool(dryRun), "settings": .array(changes.map(\.json))])
            return
        }
        for change in changes {
            let head = "\(change.setting.key) = \(change.after)"
            line(dryRun ? "would set \(head); it is \(change.before)" : head)
        }
    }
}

extension BusyPollChange {
    fileprivate var json: JSONValue {
        ["setting": .string(setting.key), "before": .number(before), "after": .number(after)]
    }
}
