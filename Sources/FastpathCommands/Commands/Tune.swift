// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathKernel

struct Tune: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tune",
        abstract: "Fit the host to the SIP server: busy polling, and the server's CPUs.",
        discussion: """
            Both are optional; measure before and after. What was set before is remembered until the next boot, and can \
            be put back.

            Example:
              vos-fastpath tune show
              vos-fastpath tune busy-poll --dry-run
              vos-fastpath tune pin --interface eth0
              vos-fastpath tune pin --undo
            """,
        subcommands: [TuneBusyPoll.self, TunePin.self, TuneShow.self])
}

extension Context {
    func tuning() -> Tuning {
        let host = TunedHost()
        return Tuning(
            host: host,
            record: TuningRecord(
                path: instance.tuningPath, lockPath: instance.tuningLockPath, timeout: lockTimeout,
                boot: host.bootID()))
    }
}

extension CPUSet: ExpressibleByArgument {
    public init?(argument: String) { self.init(list: argument) }
}
