// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct Sockets: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "sockets",
        abstract: "Show who reads the AF_XDP sockets, queue by queue, and what became of the packets.",
        discussion: """
            A reader beats while it is willing to read; without a beat for \(SocketsReport.limit) the program passes its \
            packets to the kernel, and goes back when the beat does. With --watch, rates since the last look, redrawn in \
            place; where the output is no terminal, a line each time (with --json, JSON Lines). Ctrl-C ends it.

            Examples:
              vos-fastpath sockets
              vos-fastpath sockets eth0 --watch 5
            """)

    @OptionGroup var common: CommonOptions

    @OptionGroup var watching: WatchOptions

    @Argument(help: "This interface only.", completion: .interfaces)
    var iface: String?

    func run(_ context: Context) throws(Failure) -> Outcome {
        try WatchOptions.requireInterval(context.arguments, of: "sockets")
        let control = try context.edgeControl()
        let processes = ProcessNames()
        let read = { () throws(Failure) in SocketsReport(try control.consumers(of: iface), processes) }
        if let seconds = watching.watch {
            try SocketsWatch(output: context.output, seconds: seconds, count: watching.count).run(read)
            return .done
        }
        let report = try read()
        if context.output.isJSON {
            context.output.json(report.json)
        } else {
            for line in report.lines(colour: context.output.terminal.hasColour) { context.output.line(line) }
        }
        return .done
    }
}
