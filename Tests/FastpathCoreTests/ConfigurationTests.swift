// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct ConfigurationTests {
    private func parsed(_ text: String) throws -> Configuration {
        try Configuration(parsing: Array(text.utf8), name: "config.toml")
    }

    @Test func nothingSaidIsCarrier() throws {
        #expect(Configuration().settings == .carrier)
        #expect(try parsed("") == Configuration())
        #expect(try parsed("# nothing\n").settings == .carrier)
    }

    @Test func everyKey() throws {
        let text = """
            profile = "classic"
            ports = [5060, 5061, 65_535]
            first_line_limit = 100
            [switches]
            ports = true
            first_line = true
            vlan = false
            """
        let configuration = try parsed(text)
        #expect(
            configuration
                == Configuration(
                    profile: .classic, switches: [.ports: true, .firstLine: true, .vlan: false],
                    ports: [5060, 5061, 65535], firstLineLimit: 100))
        #expect(
            configuration.settings
                == FilterSettings(switches: [.ports, .firstLine], ports: [5060, 5061, 65535], firstLineLimit: 100))
    }

    @Test func limitsDryRunAndTheRest() throws {
        let text = """
            live_maps = false
            dry_run = ["malformed", "blocked"]
            policy_memory = 64
            max_block_share = 3
            [limits]
            register = "5/s:20"
            other = "30/m"
            budget = "2000/s:4000"
            """
        let configuration = try parsed(text)
        #expect(configuration.policyMemory == 64 << 20 && configuration.maxBlockShare == 0.03)
        let settings = configuration.settings
        #expect(!settings.hasLiveMaps && settings.dryRun == [.malformed, .blocked] && !settings.isDryRunOfAll)
        #expect(
            settings.limits == [
                .register: RateLimit(5, per: .second, burst: 20, scope: .source)!,
                .other: RateLimit(30, per: .minute, burst: 1, scope: .source)!,
            ])
        #expect(settings.budget == RateLimit(2000, per: .second, burst: 4000, scope: .budget)!)
        #expect(
            settings.description
                == "carrier, register 5/s:20, other 30/m:1, budget 2000/s:4000, live_maps false, dry run of blocked malformed"
        )
        #expect(try parsed("dry_run = ['all']").settings.isDryRunOfAll)
        #expect(try parsed("dry_run = ['all']").settings.description == "carrier, dry run")
        // Said on the command line, it wins; what is about the policy stays, whatever the profile.
        let line = Configuration(profile: .classic, limits: [.invite: RateLimit(1, per: .second, scope: .source)!])
        let both = line.over(configuration)
        #expect(both.settings.limits.count == 1 && both.settings.hasLiveMaps && both.settings.dryRun.isEmpty)
        #expect(both.policyMemory == 64 << 20 && both.maxBlockShare == 0.03)
    }

    @Test(arguments: FilterSwitch.allCases)
    func everySwitchCanBeSetByItself(filterSwitch: FilterSwitch) throws {
        var settings = FilterSettings.carrier
        settings.switches.remove(filterSwitch)
        #expect(try parsed("[switches]\n\(filterSwitch.name) = false").settings == settings)
        settings = .classic
        settings.switches.insert(filterSwitch)
        #expect(try parsed("profile = 'classic'\n[switches]\n\(filterSwitch.name) = true").settings == settings)
    }

    /// A file, the line at fault, a word of the reason, and one of what is allowed.
    private static let bad: [(String, Int, String, String)] = [
        ("\nprofil = 'carrier'", 2, "profil", "profile, ports, first_line_limit"),
        ("vlan = true", 1, "vlan outside of a table", "[switches]"),
        ("[switch]\nvlan = true", 1, "[switch]", "[switches]"),
        ("[switches]\n\nvlans = true", 3, "vlans", "vlan, ports"),
        ("[switches]\nprofile = 'carrier'", 2, "profile", "before all tables"),
        ("[switches]\nvlan = 'off'", 2, "vlan is a string", "true or false"),
        ("[switches]\nvlan = 1", 2, "vlan is a number", "true or false"),
        ("[switches]\nports = [5060]", 2, "ports is an array", "true or false"),
        ("profile = 1", 1, "a number", "\"classic\", \"carrier\""),
        ("profile = 'Carrier'", 1, "Carrier", "\"classic\", \"carrier\""),
        ("ports = 5060", 1, "a number", "an array"), ("ports = []", 1, "empty", "an array"),
        ("ports = [5060,\n0]", 2, "0 is no port", "1 to 65535"), ("ports = [65536]", 1, "65536", "1 to 65535"),
        ("ports = [-1]", 1, "-1", "1 to 65535"), ("ports = ['5060']", 1, "a port is a string", "1 to 65535"),
        ("ports = [5060, 5060]", 1, "twice", "once"),
        ("first_line_limit = 63", 1, "63", "64 to 512"), ("first_line_limit = 513", 1, "513", "64 to 512"),
        ("first_line_limit = true", 1, "true or false", "64 to 512"),
        ("profile = 'classic'\nports = [5061]", 2, "ports has no effect", "ports = true in [switches]"),
        ("first_line_limit = 64\n[switches]\nfirst_line = false", 1, "no effect", "first_line = true"),
        ("live_maps = 0", 1, "live_maps is a number", "true or false"),
        ("live_maps = false\n[switches]\npolicy = false", 1, "no effect", "policy = true"),
        ("dry_run = true", 1, "true or false", "\"blocked\""),
        ("dry_run = ['passed']", 1, "passed", "\"rate_limited\""),
        ("dry_run = ['all', 1]", 1, "a rule is a number", "[\"all\"]"),
        ("policy_memory = 15", 1, "15", "MiB, from 16"), ("max_block_share = 101", 1, "101", "percent"),
        ("[limits]\nregisters = '5/s'", 2, "registers", "register, invite, other, budget"),
        ("[limits]\nregister = 5", 2, "register is a number", "5/s:20"),
        ("[limits]\nregister = '5'", 2, "register is \"5\"", "5/s:20"),
        ("[limits]\nregister = '20000/s'", 2, "20000/s", "at most 10000/s"),
        ("[limits]\ninvite = '1/h:1000'", 2, "1/h:1000", "24 hours"),
        ("profile = carrier", 1, "carrier is no value", "TOML"), ("[a.b]", 1, "tables in tables", "TOML"),
    ]

    @Test(arguments: bad.indices)
    func whatIsWrongIsSaidWithFileLineAndWhatIsAllowed(index: Int) {
        let (text, line, reason, allowed) = Self.bad[index]
        let failure = #expect(throws: Failure.self) { try parsed(text) }
        #expect(failure?.kind == .other, "a bad file is no wrong usage: exit code 1")
        #expect(failure?.subject == "config.toml, line \(line)")
        #expect(failure?.reason.contains(reason) == true, "\(failure?.reason ?? "")")
        #expect(failure?.next.contains(allowed) == true, "\(failure?.next ?? "")")
    }

    @Test func theCommandLineWinsOverTheFile() {
        let file = Configuration(switches: [.vlan: false, .ipv6: false], ports: [5061], firstLineLimit: 100)
        let line = Configuration(switches: [.ipv6: true, .evasion: false], ports: [5070])
        let settings = line.over(file).settings
        #expect(settings.switches == Set(FilterSwitch.allCases).subtracting([.vlan, .evasion]))
        #expect(settings.ports == [5070] && settings.firstLineLimit == 100)
    }

    /// `up --profile classic`, as deploy.sh runs it, is classic whatever the file sets by itself.
    @Test func aProfileThatIsChosenIsTakenAsItIs() {
        let file = Configuration(profile: .carrier, switches: [.vlan: true], ports: [5061], firstLineLimit: 100)
        #expect(Configuration(profile: .classic).over(file).settings == .classic)
        #expect(Configuration(profile: .carrier).over(file).settings == .carrier)
    }

    @Test func aValueWithoutItsSwitchIsFound() {
        let line = Configuration(profile: .classic, ports: [5061])
        let idle = line.idleValue(in: line.settings)
        #expect(idle?.key == .ports && idle?.needs == .ports)
        #expect(Configuration(switches: [.ports: false]).idleValue(in: .classic) == nil)
        #expect(Configuration(ports: [5061], firstLineLimit: 64).idleValue(in: .carrier) == nil)
    }

    private static let several: [FilterSettings] = [
        .classic, .carrier, FilterSettings(switches: [.ports], ports: [1, 5061, 65535]),
        FilterSettings(switches: Set(FilterSwitch.allCases).subtracting([.vlan, .firstLine]), ports: [5060, 5061]),
        FilterSettings(switches: [.firstLine, .ipv6], firstLineLimit: 64),
        FilterSettings(
            switches: Set(FilterSwitch.allCases),
            limits: [.invite: RateLimit(7, per: .minute, burst: 3, scope: .source)].compactMapValues { $0 },
            budget: RateLimit(2_000, per: .second, burst: 4_000, scope: .budget), dryRun: [.rateLimited],
            hasLiveMaps: false),
        FilterSettings(dryRun: Set(Reason.droppable)),
    ]

    @Test(arguments: several)
    func whatIsShownCanBeSavedAndRead(settings: FilterSettings) throws {
        #expect(try parsed(settings.toml).settings == settings)
        #expect(Configuration(settings).settings == settings)
    }

    @Test(arguments: several)
    func whatTheProgramHoldsIsReadBack(settings: FilterSettings) {
        #expect(FilterSettings(abi: settings.abi(secret: 7)) == settings)
        var abi = settings.abi(secret: 7)
        #expect(FilterSettings(abi: withUnsafeBytes(of: &abi) { Array($0) }) == settings)
    }

    @Test func whatThisVersionDoesNotKnowIsNotGuessed() {
        var abi = FilterSettings.carrier.abi(secret: 7)
        abi.switches |= 1 << 40
        #expect(FilterSettings(abi: abi) == nil)
        abi = FilterSettings.carrier.abi(secret: 7)
        abi.first_line_limit = 4096
        #expect(FilterSettings(abi: abi) == nil)
        #expect(FilterSettings(abi: [0, 0, 0, 0]) == nil)
    }

    @Test func aRawLoadIsClassic() {
        var zeros = FilterSettings.classic.abi(secret: 0)
        withUnsafeMutableBytes(of: &zeros) { bytes in for index in bytes.indices { bytes[index] = 0 } }
        #expect(FilterSettings(abi: zeros) == .classic)
    }

    @Test func texts() {
        #expect(
            Self.several.map(\.description) == [
                "classic", "carrier", "classic, ports 1 5061 65535",
                "carrier, vlan off, first_line off, ports 5060 5061", "classic, ipv6 on, first_line_limit 64",
                "carrier, invite 7/m:3, budget 2000/s:4000, live_maps false, dry run of rate_limited",
                "classic, dry run",
            ])
        let most = FilterSettings(switches: Set(FilterSwitch.allCases), ports: Set(5060..<5070))
        #expect(most.description == "carrier, ports 5060 5061 5062 5063 5064 5065 5066 5067 and 2 more")
        #expect(FilterSettings(switches: [.ports]).description == "classic, ports on")
    }
}
