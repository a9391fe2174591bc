// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// The documented scripts on the documented simulation, in the default instance (of a sandbox).
    @Suite struct ScriptTests {
        /// `read_xdp_stats.sh`, to the letter.
        static func statistics(
            _ head: String, options: Int = 0, blocked: Int = 0, malformed: Int = 0, redirected: Int = 0, passed: Int = 0
        ) -> String {
            """
            XDP counters (\(head)):
              OPTIONS dropped (stealth): \(options)
              Blocked (DoS list):        \(blocked)
              Malformed (dropped):       \(malformed)
              Redirected (AF_XDP):      \(redirected)
              Passed to stack:          \(passed)
              Total UDP 5060 handled:   \(options + blocked + malformed + redirected + passed)

            """
        }

        static func counterMap(_ sandbox: Sandbox, _ interface: String) throws -> String {
            let line = """
                for map in $(bpftool -j prog show id $(ip -j link show dev $1 | jq .[0].xdp.prog.id) | jq .map_ids[]); do
                    bpftool -j map show id $map | jq 'select(.name == "xdp_counters") | .id'
                done
                """
            return try #require(try sandbox.run(["bash", "-c", line, "bash", interface]).lines.first)
        }

        @Test("sip_sim_*: set up twice, send exact numbers, read them, tear down twice; nothing is left")
        func simulation() throws {
            try Sandbox.with { sandbox in
                let refused = try sandbox.script("sip_sim_send.sh")
                #expect(refused.exit == .code(1) && refused.errors.contains("sip_sim_setup.sh"), "\(refused)")
                let clean = try sandbox.remains()

                try sandbox.script("sip_sim_setup.sh").requireDone()
                let program = try sandbox.run(["bash", "-c", "ip -j link show dev veth-sip | jq .[0].xdp.prog.id"])
                    .output
                let addresses = try sandbox.run([
                    "bash", "-c", "ip -br -4 addr show dev veth-sip; ip -n sip-sim -br -4 addr show dev veth-sim",
                ])
                #expect(
                    addresses.output.contains("10.99.0.1/") && addresses.output.contains("10.99.0.2/"), "\(addresses)")
                let id = try Self.counterMap(sandbox, "veth-sip")
                try sandbox.script("sip_sim_send.sh").requireDone()
                func reads(_ arguments: String..., text: String, sourceLocation: SourceLocation = #_sourceLocation)
                    throws
                {
                    var ran = try sandbox.run(["scripts/read_xdp_stats.sh"] + arguments)
                    _ = try eventually {
                        ran = try sandbox.run(["scripts/read_xdp_stats.sh"] + arguments)
                        return ran.output == text
                    }
                    #expect(ran.output == text && ran.isDone && ran.errors == "", sourceLocation: sourceLocation)
                }
                try reads("veth-sip", text: Self.statistics("map id \(id)", options: 10, passed: 10))
                try sandbox.script("sip_sim_setup.sh").requireDone()
                #expect(
                    try sandbox.run(["bash", "-c", "ip -j link show dev veth-sip | jq .[0].xdp.prog.id"]).output
                        == program,
                    "set up again, it is left as it is")
                try sandbox.script("sip_sim_send.sh", "25").requireDone()
                try reads(text: Self.statistics("map id \(id)", options: 35, passed: 35))

                // A change of policy by the scripts, with the next packet.
                for (script, options, blocked, passed) in [
                    ("block_ip.sh", 0, 20, 0), ("unblock_ip.sh", 10, 0, 10), ("allow_ip.sh", 0, 0, 20),
                ] {
                    let before = try sandbox.edge("stats", "--json").decoded(StatsReport.self).total
                    try sandbox.script(script, "10.99.0.2").requireDone()
                    try sandbox.script("sip_sim_send.sh", "10").requireDone()
                    let wanted = counters([.optionsDropped: options, .blocked: blocked, .passed: passed])
                    let isCounted = try eventually {
                        try sandbox.edge("stats", "--json").decoded(StatsReport.self).total - before == wanted
                    }
                    #expect(isCounted, "\(script)")
                }
                try reads("veth-sip", text: Self.statistics("map id \(id)", options: 45, blocked: 20, passed: 65))

                // A second interface: the sum, both maps' ids.
                try sandbox.run(["ip", "link", "add", "sip1", "type", "veth", "peer", "name", "peer1"]).requireDone()
                try sandbox.script("deploy.sh", "sip1").requireDone()
                let second = try Self.counterMap(sandbox, "sip1")
                try reads(text: Self.statistics("map ids \(id), \(second)", options: 45, blocked: 20, passed: 65))
                try reads("sip1", text: Self.statistics("map id \(second)"))
                try sandbox.edge("down", "sip1")
                try sandbox.run(["ip", "link", "del", "sip1"]).requireDone()

                for _ in 1...2 {
                    let down = try sandbox.script("sip_sim_teardown.sh")
                    #expect(down.isDone && down.errors == "", "\(down)")
                    #expect(try sandbox.remains() == clean)
                }
                let unloaded = try sandbox.script("read_xdp_stats.sh")
                #expect(
                    unloaded.exit == .code(1) && unloaded.output == "" && unloaded.errors.contains("not loaded"),
                    "\(unloaded)")
                // What is half there is made whole.
                try sandbox.script("sip_sim_setup.sh").requireDone()
                try sandbox.run(["ip", "netns", "del", "sip-sim"]).requireDone()
                try sandbox.script("sip_sim_setup.sh").requireDone()
                try sandbox.script("sip_sim_send.sh", "1").requireDone()
                try sandbox.script("sip_sim_teardown.sh").requireDone()
                let left = try sandbox.remains()
                #expect(left == clean)
            }
        }

        @Test("sip_sim_setup.sh cleans up where it fails")
        func failedSetup() throws {
            try Sandbox.with { sandbox in
                let clean = try sandbox.remains()
                let ran = try sandbox.run(["scripts/sip_sim_setup.sh"], environment: ["VOS_FASTPATH": "/bin/false"])
                #expect(ran.exit == .code(1))
                // Without a BPF file system nothing can be attached.
                try sandbox.run(["umount", "/sys/fs/bpf"]).requireDone()
                try sandbox.run(["mount", "-t", "tmpfs", "none", "/sys/fs/bpf"]).requireDone()
                let failed = try sandbox.script("sip_sim_setup.sh")
                #expect(failed.exit == .code(1) && failed.errors.contains("/sys/fs/bpf"), "\(failed)")
                #expect(try sandbox.remains() == clean)
            }
        }

        @Test("deploy.sh: native, else generic, with what the kernel says; 1 and nothing attached where it fails")
        func deploy() throws {
            try Sandbox.with { sandbox in
                try sandbox.run(["ip", "link", "add", "sip0", "type", "veth", "peer", "name", "peer0"]).requireDone()
                let clean = try sandbox.remains()
                for arguments in [
                    [], ["nosuch0"], ["sip0", "/nonexistent.o"], ["sip0", "Package.swift"],
                    ["sip0", "build/lab/empty_drop.bpf.o"],
                    ["sip0", "build/sip_logic.bpf.o", "more"],
                ] {
                    let ran = try sandbox.run(["scripts/deploy.sh"] + arguments)
                    #expect(ran.exit == .code(1) && ran.output == "" && !ran.errors.isEmpty, "\(ran)")
                    #expect(try sandbox.remains() == clean, "\(arguments): nothing attached, nothing left")
                }
                for arguments in [["sip0"], ["sip0"], ["sip0", "build/sip_logic.bpf.o"]] {
                    let ran = try sandbox.run(["scripts/deploy.sh"] + arguments).requireDone()
                    #expect(ran.output.contains("native mode"), "\(ran)")
                }
                let generic = try sandbox.script("deploy.sh", "lo").requireDone()
                #expect(
                    generic.output.contains("generic mode") && generic.errors.contains("native mode was refused"),
                    "\(generic)")
                // XDP_ATTACHED_DRV is 1, XDP_ATTACHED_SKB 2 (linux/if_link.h).
                let modes = "ip -j link | jq -r '.[] | select(.xdp) | \"\\(.ifname) \\(.xdp.mode)\"' | sort"
                #expect(try sandbox.run(["bash", "-c", modes]).lines == ["lo 2", "sip0 1"])
                try sandbox.edge("down", "--all", "--purge")

                // Somebody else's program stays where it is.
                let foreign = [
                    "ip", "link", "set", "dev", "sip0", "xdp", "obj", "build/lab/empty_drop.bpf.o", "sec", "xdp",
                ]
                try sandbox.run(foreign).requireDone()
                let program = "ip -j link show dev sip0 | jq .[0].xdp.prog.id"
                let id = try sandbox.run(["bash", "-c", program]).output
                let refused = try sandbox.script("deploy.sh", "sip0")
                #expect(refused.exit == .code(1) && refused.errors.contains("id \(id.dropLast())"), "\(refused)")
                #expect(try sandbox.run(["bash", "-c", program]).output == id)
            }
        }

        @Test("allow, block and unblock: exit codes, and nothing recorded where nothing is loaded")
        func addresses() throws {
            try Sandbox.with { sandbox in
                let scripts = ["allow_ip.sh", "block_ip.sh", "unblock_ip.sh"]
                for script in scripts {
                    let ran = try sandbox.script(script, "192.0.2.1")
                    #expect(ran.exit == .code(1) && ran.errors.contains("not loaded"), "\(ran)")
                }
                #expect(
                    try sandbox.edge("block", "export").output == "" && sandbox.edge("allow", "export").output == "")
                try sandbox.script("sip_sim_setup.sh").requireDone()
                defer { _ = try? sandbox.script("sip_sim_teardown.sh") }
                for script in scripts {
                    for arguments in [
                        [], ["999.1.2.3"], ["10.0.0.0/8"], ["abc.def.g.h"], ["192.0.2"], ["2001:db8::1"], ["--json"],
                        ["192.0.2.1", "192.0.2.2"],
                    ] {
                        let ran = try sandbox.run(["scripts/\(script)"] + arguments)
                        #expect(ran.exit == .code(1) && ran.output == "" && !ran.errors.isEmpty, "\(ran)")
                    }
                    let nobody = ["setpriv", "--reuid=65534", "--clear-groups", "--"]
                    let ran = try sandbox.run(nobody + ["scripts/\(script)", "192.0.2.1"])
                    #expect(ran.exit == .code(1) && ran.errors.contains("root"), "\(ran)")
                }
                #expect(
                    try sandbox.edge("block", "export").output == "" && sandbox.edge("allow", "export").output == "")
                for _ in 1...2 {
                    for script in scripts { try sandbox.script(script, "192.0.2.1").requireDone() }
                }
                #expect(
                    try sandbox.edge("block", "export").output == ""
                        && sandbox.edge("allow", "export").lines == ["192.0.2.1"])
                try sandbox.edge("up", "veth-sip", "--profile", "classic", "--blocked-capacity", "1")
                try sandbox.script("block_ip.sh", "192.0.2.1").requireDone()
                let full = try sandbox.script("block_ip.sh", "192.0.2.2")
                #expect(full.exit == .code(1) && full.errors.contains("--blocked-capacity 2"), "\(full)")
            }
        }

        @Test("block_ips_from_file.sh: the summary to the letter; 5 000 addresses")
        func importing() throws {
            try Sandbox.with { sandbox in
                // The laboratory's folder is in the /run outside.
                let inside = "/run/feed.txt"
                func write(_ lines: [String]) throws {
                    try sandbox.run(["bash", "-c", "cat > \(inside) <<'END'\n\(lines.joined(separator: "\n"))\nEND"])
                        .requireDone()
                }
                try write(["192.0.2.1"])
                let unloaded = try sandbox.script("block_ips_from_file.sh", inside)
                #expect(unloaded.exit == .code(1) && unloaded.errors.contains("not loaded"), "\(unloaded)")
                try sandbox.script("sip_sim_setup.sh").requireDone()
                defer { _ = try? sandbox.script("sip_sim_teardown.sh") }
                #expect(try sandbox.script("block_ips_from_file.sh").exit == .code(1))
                #expect(try sandbox.script("block_ips_from_file.sh", "/nonexistent").exit == .code(1))

                try write(["# feed", "", "192.0.2.1", "999.1.2.3", "192.0.2.2 # bad", "10.0.0.0/8", "192.0.2.1"])
                let mixed = try sandbox.script("block_ips_from_file.sh", inside).requireDone()
                #expect(mixed.lines.last == "Done: 2 blocked, 2 skipped (invalid), 0 failed (map full)", "\(mixed)")
                #expect(mixed.errors.contains("line 4") && mixed.errors.contains("line 6"), "\(mixed)")

                let many = CapacityTests.addresses(0..<5000)
                try sandbox.run([
                    "bash", "-c", "seq 0 4999 | awk '{ printf \"100.64.%d.%d\\n\", $1 / 256, $1 % 256 }' > \(inside)",
                ]).requireDone()
                let full = try sandbox.script("block_ips_from_file.sh", inside)
                #expect(
                    full.exit == .code(1)
                        && full.lines.last == "Done: 1022 blocked, 0 skipped (invalid), 3978 failed (map full)",
                    "\(full)"
                )
                try sandbox.edge("up", "veth-sip", "--blocked-capacity", "8192")
                let start = ContinuousClock.now
                let done = try sandbox.script("block_ips_from_file.sh", inside).requireDone()
                #expect(done.lines.last == "Done: 5000 blocked, 0 skipped (invalid), 0 failed (map full)", "\(done)")
                #expect(ContinuousClock.now - start < .seconds(3), "it once took 82 s")
                #expect(try sandbox.edge("block", "export").lines == many + ["192.0.2.1", "192.0.2.2"])
            }
        }

        @Test("stress_test.sh: a round in under 20 s, and nothing left")
        func stress() throws {
            try Sandbox.with { sandbox in
                let clean = try sandbox.remains()
                let start = ContinuousClock.now
                let ran = try sandbox.script("stress_test.sh", "1").requireDone()
                #expect(ContinuousClock.now - start < .seconds(20))
                for phase in ["volume", "blocklist", "allowlist", "hammer", "teardown"] {
                    #expect(ran.output.contains(phase), "\(ran)")
                }
                #expect(try sandbox.remains() == clean)
                for wrong in ["0", "many", "-1"] {
                    #expect(try sandbox.script("stress_test.sh", wrong).exit == .code(1))
                }
            }
        }

        @Test("enable_busy_poll.sh and pin_opensips_cores.sh")
        func tuning() throws {
            let setting = "/proc/sys/net/core/busy_poll"
            let before = try Text.read(setting)
            defer { try? Text.write(before, to: setting) }
            // What was set before is remembered, and not in this machine's own state.
            let here = Edge()
            try here.clear()
            defer { try? here.clear() }
            let ran = try here.shell("scripts/enable_busy_poll.sh").requireDone()
            #expect(try Text.read(setting) == "50\n")
            #expect(
                ran.output.contains("net.core.busy_poll") && ran.output.contains("/etc/sysctl.d/"), "the hint: \(ran)")
            try here.done("tune", "busy-poll", "--restore")
            #expect(try Text.read(setting) == before)
            try Sandbox.with { sandbox in
                // A network of its own has no such setting.
                let refused = try sandbox.script("enable_busy_poll.sh")
                #expect(refused.exit == .code(1), "\(refused)")
            }
            let sleeper = try Child.start(["sleep", "60"])
            defer { sleeper.end() }
            let pinned = try here.shell("scripts/pin_opensips_cores.sh -c 0 $1", ["\(sleeper.pid)"]).requireDone()
            #expect(pinned.output == "process \(sleeper.pid) runs on CPUs 0\n")
            #expect(try Text.read("/proc/\(sleeper.pid)/status").contains("Cpus_allowed_list:\t0\n"))
            for line in ["-c 4095 $1", "-c x $1", "0", "x", "4194305"] {
                #expect(
                    try here.shell("scripts/pin_opensips_cores.sh \(line)", ["\(sleeper.pid)"]).exit == .code(1),
                    "\(line)")
            }
        }
    }
}
