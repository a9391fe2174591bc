// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathLab

struct DemoCommand: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Watch the edge protect a SIP server, with and without it.",
        discussion: """
            A phone places calls through a real SIP server while a scanner looks for it and a flooder sends INVITEs: \
            first without the edge, then with it, the same traffic in both. Everything runs in network namespaces of \
            its own and is gone afterwards, after Ctrl-C too. Takes less than a minute.

            Example:
              vos-fastpath demo
            """)

    @OptionGroup var common: CommonOptions

    func validate() throws { try common.refuseInstance() }

    func run(_ context: Context) throws(Failure) -> Outcome {
        LabSignals.install()
        let demo = Demo()
        let edge = try LabEdge(instance: Instance(named: demo.name), settings: .carrier)
        let output = context.output
        var view = DemoView(demo: demo, output: output)
        let result: (without: Demo.Column, with: Demo.Column)
        do throws(Failure) {
            result = try demo.run(edge: edge) { event in
                view.show(event)
                LabSignals.stopWithoutReader(output)
            }
        } catch {
            view.end()
            throw error
        }
        view.end()
        if output.isJSON {
            output.json(["without": result.without.json, "with": result.with.json])
        } else {
            output.line()
            output.table(DemoView.table(result.without, result.with))
        }
        return .done
    }
}
