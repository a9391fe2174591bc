// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathKernel
import FastpathLab

struct Lab: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab",
        abstract: "A simulated peer on this machine, to see the edge at work.",
        discussion: """
            The peer is in the network namespace \(Simulation.namespaceName), joined to this host by a veth pair that \
            carries the edge: \(Simulation.peerInterface) \(text(Simulation.peerAddress)) to \
            \(Simulation.hostInterface) \(text(Simulation.hostAddress)).

            Example:
              vos-fastpath lab up
              vos-fastpath lab send 100
              vos-fastpath stats \(Simulation.hostInterface)
              vos-fastpath lab down
            """,
        subcommands: [LabUp.self, LabSend.self, LabDown.self])

    static func text(_ address: UInt32) -> String { IPPrefix(ipv4: address).description }
}

struct LabUp: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Build the simulated peer and put the edge in front of it.",
        discussion: """
            The edge has the profile classic. What is there already is left as it is. Where something fails, everything is removed again.

            Example:
              vos-fastpath lab up
            """)

    @OptionGroup var common: CommonOptions

    func run(_ context: Context) throws(Failure) -> Outcome {
        let control = try context.edgeControl()
        _ = try Simulation.setUp()
        do throws(Failure) {
            try control.forgetGoneInterfaces()
            let status = try control.status(of: Simulation.hostInterface, now: moment())
            if !status.edges.contains(where: { $0.edge.isFilteringForUs && $0.edge.isPinned }) {
                let report = try control.up(
                    UpRequest(interface: Simulation.hostInterface, settings: .classic), now: moment())
                for note in report.notes { context.output.note(note) }
                context.output.note(report.mending)
            }
        } catch {
            try? Simulation.tearDown()
            throw error
        }
        show(context.output)
        return .done
    }

    private func show(_ output: Output) {
        guard !output.isJSON else {
            output.json([
                "namespace": .string(Simulation.namespaceName), "interface": .string(Simulation.hostInterface),
                "address": .string(Lab.text(Simulation.hostAddress)),
                "peer_interface": .string(Simulation.peerInterface),
                "peer_address": .string(Lab.text(Simulation.peerAddress)),
            ])
            return
        }
        output.line(
            "\(Simulation.peerInterface) \(Lab.text(Simulation.peerAddress)) in the namespace \(Simulation.namespaceName)"
                + " -> \(Simulation.hostInterface) \(Lab.text(Simulation.hostAddress)) with the edge: up")
        output.line("Send to it: vos-fastpath lab send 100")
    }
}

struct LabSend: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "send",
        abstract: "Send OPTIONS and REGISTER from the simulated peer.",
        discussion: """
            Exactly as many of each as asked for, to UDP port \(Listener.sipPort) of this host's end.

            Example:
              vos-fastpath lab send 100
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "How many of each.")
    var count = 10

    func validate() throws {
        if !(1...10_000_000).contains(count) { throw ValidationError("<count> must be from 1 to 10000000") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        LabSignals.install()
        let report = try Simulation.send(count: count)
        if context.output.isJSON {
            context.output.json(["options": .number(report.options), "register": .number(report.registers)])
        } else {
            context.output.line(
                "Sent \(report.options) OPTIONS and \(report.registers) REGISTER from \(Lab.text(Simulation.peerAddress)) "
                    + "to \(Lab.text(Simulation.hostAddress)):\(Listener.sipPort)")
        }
        return .done
    }
}

struct LabDown: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Remove the simulated peer and take the edge off its interface.",
        discussion: """
            Nothing is left, and nothing happens where nothing is there. The recorded lists stay.

            Example:
              vos-fastpath lab down
            """)

    @OptionGroup var common: CommonOptions

    func run(_ context: Context) throws(Failure) -> Outcome {
        // The network goes in any case, and the program on it with it.
        var trouble: Failure?
        do throws(Failure) {
            let control = try context.edgeControl()
            try control.forgetGoneInterfaces()
            _ = try control.down(.interface(Simulation.hostInterface), now: moment())
        } catch {
            if error.kind != .notLoaded && error.kind != .noInterface { trouble = error }
        }
        try Simulation.tearDown()
        if let trouble { throw trouble }
        if context.output.isJSON {
            context.output.json(["namespace": .null])
        } else {
            context.output.line("The simulated peer is gone.")
        }
        return .done
    }
}

extension EdgeControl {
    /// Removes the pins of interfaces that are gone from this host's own network: the simulation's are left behind when
    /// somebody deletes its namespace by hand.
    fileprivate func forgetGoneInterfaces() throws(Failure) {
        let here = try NetworkNamespace.current().cookie
        for edge in try status(now: moment()).edges.map(\.edge)
        where edge.name == nil && edge.interface.namespace == here {
            _ = try down(.interface(edge.interface.pinName), now: moment())
        }
    }
}
