// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import Testing

@testable import FastpathCommands

/// Every command of the tree with its names: `["vos-fastpath", "block", "add"]`.
func allCommands(
    _ command: any ParsableCommand.Type = VosFastpath.self, _ names: [String] = []
) -> [(names: [String], type: any ParsableCommand.Type)] {
    let names = names + [command._commandName]
    return [(names, command)] + command.configuration.subcommands.flatMap { allCommands($0, names) }
}

@Suite struct CommandLineTests {
    /// Wrong command lines, and what the answer must name.
    private static let wrong: [([String], String)] = [
        (["nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"),
        (["explain"], "<file>"),
        (["explain", "--packets", "x", "f"], "--packets"),
        (["explain", "--packets", "0", "f"], "--packets"),
        (["explain", "--limit", "register=0/s", "f"], "--limit"),
        (["explain", "--profile", "none", "f"], "--profile"),
        (["explain", "--interface", "lo", "--block", "192.0.2.1", "f"], "--interface"),
        (["explain", "--block"], "--block"),
        (["doctor", "lo", "more"], "more"),
        (["doctor", "--instance"], "--instance"),
        (["up"], "<iface>"),
        (["up", "a", "b"], "b"),
        (["up", "lo", "--mode", "fast"], "--mode"),
        (["up", "lo", "--blocked-capacity", "0"], "--blocked-capacity"),
        (["up", "lo", "--allowed-capacity", "4294967296"], "--allowed-capacity"),
        (["up", "lo", "--allowed-capacity", "-1"], "--allowed-capacity"),
        (["up", "lo", "--profile", "none"], "--profile"),
        (["up", "lo", "--switch", "vlan"], "NAME=on"),
        (["up", "lo", "--switch", "vlan=yes"], "vlan=yes"),
        (["up", "lo", "--switch", "vlans=on"], "ipv6, vlan, ports"),
        (["up", "lo", "--port", "0"], "--port"),
        (["up", "lo", "--port", "65536"], "--port"),
        (["up", "lo", "--first-line-limit", "63"], "64 to 512"),
        (["up", "lo", "--first-line-limit", "513"], "64 to 512"),
        (["explain", "--interface", "lo", "--profile", "classic", "f"], "--interface"),
        (["explain", "--interface", "lo", "--switch", "vlan=off", "f"], "--interface"),
        (["config", "diff"], "<iface>"),
        (["config", "check", "a", "b"], "b"),
        (["down"], "--all"),
        (["down", "lo", "--all"], "--all"),
        (["block", "nonsense"], "nonsense"),
        (["block", "add"], "<addresses>"),
        (["allow", "remove"], "<addresses>"),
        (["block", "import"], "<file>"),
        (["stats", "--watch", "0"], "--watch"),
        (["stats", "--watch=x"], "--watch"),
        (["stats", "--count", "3"], "--count"),
        (["stats", "--watch", "--count", "0"], "--count"),
        (["stats", "--summary", "--json"], "--summary"),
        (["stats", "--summary", "--watch"], "--summary"),
        (["tune", "busy-poll", "--poll", "-1"], "--poll"),
        (["tune", "busy-poll", "--read", "1000000"], "--read"),
        (["tune", "busy-poll", "--poll", "many"], "--poll"),
        (["tune", "busy-poll", "--off", "--restore"], "--restore"),
        (["tune", "busy-poll", "--off", "--poll", "1"], "--poll"),
        (["tune", "pin", "--cpus", "3-1"], "--cpus"),
        (["tune", "pin", "--cpus="], "--cpus"),
        (["tune", "pin", "--cpus", "0", "--interface", "lo"], "--interface"),
        (["tune", "pin", "0"], "'0'"),
        (["tune", "pin", "x"], "x"),
        (["tune", "pin", "--name", "a", "1"], "--name"),
        (["tune", "pin", "--undo", "--cpus", "0"], "--undo"),
        (["tune", "show", "more"], "more"),
        (["sockets", "--watch", "0"], "--watch"),
        (["sockets", "--watch=x"], "--watch"),
        (["sockets", "--count", "3"], "--count"),
        (["sockets", "a", "b"], "b"),
        (["exec"], "--"),
        (["exec", "--"], "--"),
        (["exec", "kamailio"], "--"),
        (["exec", "--port", "0", "--", "true"], "--port"),
        (["exec", "--port", "65536", "--", "true"], "--port"),
        (["exec", "--log=", "--", "true"], "--log"),
        (["compare", "--yes"], "--yes"),
        (["compare", "--seconds", "0"], "--seconds"),
        (["compare", "--instance", "live"], "--instance"),
        (["compare", "a", "b"], "b"),
        (["lab", "send", "0"], "<count>"),
        (["lab", "send", "x"], "<count>"),
        (["stress", "0"], "<rounds>"),
        (["stress", "--instance", "live"], "--instance"),
        (["demo", "--instance", "live"], "--instance"),
    ]

    @Test(arguments: wrong)
    func wrongUsageIs64AndSaysWhere(arguments: [String], named: String) {
        let result = run(arguments)
        #expect(result.status == .usage)
        #expect(result.out == "")
        let lines = result.err.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(lines.first == "error: cannot read the command line")
        #expect(lines.dropFirst(2).first?.contains(named) == true)
        #expect(lines.last?.hasPrefix("  next  See 'vos-fastpath ") == true)
    }

    @Test(arguments: ["999.1.2.3", "10.0.0.1/8", "abc.def.g.h", "2001:db8::1/32", ""])
    func wrongAddressesAre64(address: String) {
        let commands = [
            ["explain", "--block", address, "/nonexistent"], ["block", "add", "192.0.2.1", address],
            ["allow", "remove", address],
        ]
        for arguments in commands {
            let result = run(arguments)
            #expect(result.status == .usage)
            #expect(result.err.hasPrefix("error: cannot "))
        }
    }

    @Test func anOptionOfTheParentCommandIsNoAddress() {
        #expect(run(["block", "add", "--no-such-option", "192.0.2.1"]).status == .usage)
    }

    @Test func watchTakesAnInterfaceForNoInterval() throws {
        let plain = try Stats.parse(["--watch", "eth0"])
        #expect(plain.watching.watch == 1)
        #expect(plain.iface == "eth0")
        let slow = try Stats.parse(["eth0", "--watch", "2.5"])
        #expect(slow.watching.watch == 2.5)
        #expect(slow.iface == "eth0")
    }

    @Test(arguments: ["Upper", "dot.dot", String(repeating: "a", count: 33)])
    func wrongInstancesAre64(name: String) {
        #expect(run(["doctor", "--instance", name]).status == .usage)
        #expect(run(["doctor"], environment: [Instance.environmentVariable: name]).status == .usage)
    }

    @Test func theOptionWinsOverTheEnvironment() throws {
        let options = try CommonOptions.parse(["--instance", "one"])
        let environment = { (name: String) in name == Instance.environmentVariable ? "two" : nil }
        #expect(try options.chosenInstance(environment: environment).name == "one")
        #expect(try CommonOptions.parse([]).chosenInstance(environment: environment).name == "two")
        #expect(try CommonOptions.parse([]).chosenInstance(environment: { _ in "" }) == .default)
    }

    @Test func theLocksTimeoutComesFromTheEnvironment() throws {
        #expect(try FileLock.timeout(environment: { _ in nil }) == FileLock.defaultTimeout)
        #expect(try FileLock.timeout(environment: { _ in "" }) == FileLock.defaultTimeout)
        #expect(try FileLock.timeout(environment: { $0 == FileLock.timeoutVariable ? "2" : nil }) == 2_000)
        for wrong in ["-1", "x", "1.5", "86401"] {
            #expect(run(["doctor"], environment: [FileLock.timeoutVariable: wrong]).status == .usage)
        }
    }

    @Test func anInterfaceThatIsNotThereIsNoUsageError() {
        let result = run(["doctor", "no-such-if"])
        #expect(result.status == .failed)
        #expect(result.err.hasPrefix("error: cannot find the interface\n  on    no-such-if\n"))
    }

    @Test func versionAndHelp() {
        #expect(run(["--version"]).out == VosFastpath.version + "\n")
        #expect(run(["--help"]).status == .done)
        #expect(run([]).out.contains("USAGE: vos-fastpath <subcommand>"))
        #expect(run(["help", "explain"]).out.contains("USAGE: vos-fastpath explain"))
        #expect(run(["--generate-completion-script", "bash"]).out.contains("vos-fastpath"))
    }

    @Test func helpIsTheSameHoweverItIsAskedFor() {
        for (names, _) in allCommands() {
            let path = Array(names.dropFirst())
            let plain = run(path + ["--help"])
            #expect(plain.status == .done)
            #expect(plain.out.contains("USAGE: \(names.joined(separator: " "))"))
            #expect(run(path + ["-h"]).out == plain.out)
            // The parser's own way.
            #expect(run(["help"] + path).out == plain.out)
        }
    }

    @Test func everyCommandHasAnAbstractAndAnExample() {
        for (names, type) in allCommands() where type.configuration.shouldDisplay {
            let name = names.joined(separator: " ")
            #expect(!type.configuration.abstract.isEmpty, "\(name)")
            #expect(type.configuration.discussion.contains("  vos-fastpath "), "\(name) shows no example")
            let help = VosFastpath.helpMessage(for: type, columns: 80)
            // The parser does not wrap the usage.
            for line in help.split(separator: "\n") where !line.hasPrefix("USAGE:") {
                #expect(line.count <= 80, "\(name): \(line)")
            }
        }
    }

    /// A name that the parser must make from the type's costs a millisecond of start-up (reflection).
    @Test func everyCommandNamesItself() {
        for (names, type) in allCommands() {
            #expect(type.configuration.commandName != nil, "\(names.joined(separator: " "))")
        }
    }

    @Test func everyRunnableCommandTakesTheCommonOptions() {
        for (names, type) in allCommands() where type.configuration.subcommands.isEmpty {
            let isOurs = type is any EdgeCommand.Type
            #expect(isOurs, "\(names.joined(separator: " "))")
        }
    }

    @Test func aFullDiskIsAnError() {
        let recorder = Recorder()
        recorder.outError = 28
        let status = CommandRunner(output: recorder.output(), environment: { _ in nil }).run(["--version"])
        #expect(status == .failed)
        #expect(recorder.err.contains("No space left on device"))
    }
}
