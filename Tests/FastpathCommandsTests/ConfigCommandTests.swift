// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc
import Testing

@testable import FastpathCommands

@Suite struct ConfigCommandTests {
    /// A file with a text, gone afterwards.
    private func withFile(_ text: String, _ body: (String) throws -> Void) throws {
        let path = "/tmp/vos-fastpath-config-\(getpid())-\(UInt32.random(in: 0...(.max))).toml"
        let file = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
        defer { unlink(path) }
        try body(path)
    }

    @Test func checkSaysWhatAFileComesTo() throws {
        try withFile("ports = [5060, 5061]\n[switches]\nvlan = false\n") { path in
            let result = run(["config", "check", path])
            #expect(result.status == .done && result.err == "")
            #expect(result.out == "\(path): good: carrier, vlan off, ports 5060 5061\n")
            let json = try JSONValue(parsing: run(["config", "check", "--json", path]).out)
            #expect(json["profile"]?.text == "carrier, vlan off, ports 5060 5061")
            #expect(json["settings"]?["switches"]?["vlan"] == .bool(false))
            #expect(json["settings"]?["switches"]?["ipv6"] == .bool(true))
            #expect(json["settings"]?["ports"] == [5060, 5061])
            #expect(json["settings"]?["first_line_limit"] == 512)
        }
    }

    @Test func checkNamesFileLineAndWhatIsAllowed() throws {
        try withFile("profile = \"carrier\"\n\nport = 5061\n") { path in
            let result = run(["config", "check", path])
            #expect(result.status == .failed && result.out == "")
            #expect(result.err.contains("\(path), line 3"))
            #expect(result.err.contains("there is no key port") && result.err.contains("first_line_limit"))
            // Whoever reads it says the same, before anything else is done.
            for command in [["config", "show"], ["explain", "/nonexistent.pcap"]] {
                #expect(run(command + ["--config", path]).err == result.err)
            }
        }
    }

    @Test func aFileThatIsNamedMustBeThere() {
        for command in [
            ["config", "check", "/nonexistent.toml"], ["config", "show", "--config", "/nonexistent.toml"],
        ] {
            let result = run(command)
            #expect(result.status == .failed && result.err.contains("/nonexistent.toml"))
        }
        let result = run(["config", "check", "--instance", "none-of-this-name"])
        #expect(result.status == .done)
        #expect(result.out == "/etc/vos-fastpath-none-of-this-name/config.toml: there is none: carrier\n")
    }

    @Test func showPrintsAFileThatMeansTheSame() throws {
        for options in [[], ["--profile", "classic"], ["--switch", "vlan=off", "--port", "5070"]] {
            let shown = run(["config", "show", "--instance", "none-of-this-name"] + options)
            #expect(shown.status == .done)
            try withFile(shown.out) { path in
                #expect(run(["config", "show", "--config", path]).out == shown.out)
            }
        }
        let json = run(["config", "show", "--json", "--instance", "none-of-this-name", "--profile", "classic"]).out
        #expect(try JSONValue(parsing: json)["settings"]?["first_line_limit"] == .null)
    }

    @Test func theCommandLineWinsOverTheFile() throws {
        try withFile("ports = [5060, 5061]\n[switches]\nvlan = false\nipv6 = false\n") { path in
            let rows: [([String], String)] = [
                ([], "carrier, ipv6 off, vlan off, ports 5060 5061"),
                (["--switch", "vlan=on", "--port", "5070"], "carrier, ipv6 off, ports 5070"),
                (
                    ["--switch", "vlan=on", "--switch", "vlan=off"],
                    "carrier, ipv6 off, vlan off, ports 5060 5061"
                ),
                (["--switch", "ports=off"], "carrier, ipv6 off, vlan off, ports off"),
                (["--profile", "classic"], "classic"),
            ]
            for (options, text) in rows {
                let answer = try JSONValue(parsing: run(["config", "show", "--json", "--config", path] + options).out)
                #expect(answer["profile"]?.text == text)
            }
        }
    }

    @Test func aValueWhoseSwitchIsOffIsWrongUsage() {
        let result = run([
            "config", "show", "--instance", "none-of-this-name", "--profile", "classic", "--port", "5061",
        ])
        #expect(result.status == .usage && result.err.contains("--switch ports=on"))
    }

    @Test func differencesAreNamed() {
        let wanted = FilterSettings(switches: Set(FilterSwitch.allCases), ports: [5060, 5061])
        #expect(SettingsDifference.all(wanted: wanted, running: wanted).isEmpty)
        let all = SettingsDifference.all(wanted: wanted, running: .carrier)
        #expect(all == [SettingsDifference(name: "ports", wanted: "5060 5061", running: "5060")])
        let most = SettingsDifference.all(wanted: .carrier, running: .classic)
        #expect(
            most.map(\.name)
                == FilterSwitch.allCases.map { "switches.\($0.name)" } + ["ports", "first_line_limit"])
        #expect(most.last?.running == "-")
    }
}
