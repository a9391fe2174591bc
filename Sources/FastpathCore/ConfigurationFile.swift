// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

extension Configuration {
    /// Reads a configuration file. Nothing in it is passed over: a key or table that is not known, a wrong type and a
    /// value out of range are errors, with the file, the line and what is allowed.
    ///
    /// - Parameter name: of the file, for messages.
    public init(parsing text: [UInt8], name: String) throws(Failure) {
        var reader = ConfigurationReader(file: name)
        let tables: [TOMLTable]
        do throws(TOMLError) {
            tables = try TOMLReader.tables(of: text)
        } catch {
            throw reader.failure(error.line, error.reason, allowed: "TOML: lines of KEY = VALUE, [table] and # comment")
        }
        for table in tables { try reader.read(table) }
        self = reader.configuration
        if let idle = idleValue(in: settings) {
            throw reader.failure(
                reader.lines[idle.key] ?? 0, "\(idle.key.rawValue) has no effect while the switch is off",
                allowed: "\(idle.needs.name) = true in [\(ConfigurationTable.switches.rawValue)], or no such line")
        }
    }
}

/// From the tables of a file to a ``Configuration``.
private struct ConfigurationReader {
    let file: String
    var configuration = Configuration()
    /// Where a key was set.
    var lines: [ConfigurationKey: Int] = [:]

    init(file: String) { self.file = file }

    mutating func read(_ table: TOMLTable) throws(Failure) {
        guard !table.name.isEmpty else {
            for entry in table.entries { try readTop(entry) }
            return
        }
        switch ConfigurationTable(rawValue: table.name) {
        case .switches: for entry in table.entries { try readSwitch(entry) }
        case .limits: for entry in table.entries { try readLimit(entry) }
        case nil:
            throw failure(
                table.line, "there is no table [\(table.name)]",
                allowed: ConfigurationTable.allCases.map { "[\($0.rawValue)]" }.joined(separator: ", "))
        }
    }

    private mutating func readTop(_ entry: TOMLEntry) throws(Failure) {
        guard let key = ConfigurationKey(rawValue: entry.key) else {
            let isSwitch = FilterSwitch(named: entry.key) != nil
            throw failure(
                entry.line, "there is no key \(entry.key)" + (isSwitch ? " outside of a table" : ""),
                allowed: ConfigurationKey.allCases.map(\.rawValue).joined(separator: ", ")
                    + "; the switches stand in [\(ConfigurationTable.switches.rawValue)]")
        }
        lines[key] = entry.line
        switch key {
        case .profile: configuration.profile = try profile(entry)
        case .ports: configuration.ports = try ports(entry)
        case .firstLineLimit:
            configuration.firstLineLimit = try number(entry, in: FilterSettings.firstLineLimits, "bytes")
        case .liveMaps: configuration.hasLiveMaps = try boolean(entry)
        case .dryRun: configuration.dryRun = try dryRun(entry)
        case .policyMemory:
            configuration.policyMemory = try number(entry, in: Configuration.policyMemories, "MiB") << 20
        case .maxBlockShare:
            configuration.maxBlockShare = Double(try number(entry, in: 0...100, "percent of all addresses")) / 100
        }
    }

    private mutating func readSwitch(_ entry: TOMLEntry) throws(Failure) {
        guard let filterSwitch = FilterSwitch(named: entry.key) else {
            let top = ConfigurationKey(rawValue: entry.key).map { _ in "; \(entry.key) stands before all tables" }
            throw failure(
                entry.line, "there is no switch \(entry.key)",
                allowed: FilterSwitch.allCases.map(\.name).joined(separator: ", ") + (top ?? ""))
        }
        configuration.switches[filterSwitch] = try boolean(entry)
    }

    private mutating func readLimit(_ entry: TOMLEntry) throws(Failure) {
        let requests = RequestClass.allCases.first { $0.name == entry.key }
        guard requests != nil || entry.key == LimitKey.budget else {
            throw failure(
                entry.line, "there is no limit \(entry.key)",
                allowed: (RequestClass.allCases.map(\.name) + [LimitKey.budget]).joined(separator: ", "))
        }
        let scope = requests == nil ? RateLimit.Scope.budget : .source
        guard case .string(let text) = entry.value.content else {
            throw wrongType(entry.value, of: entry.key, allowed: RateLimit.allowed(scope))
        }
        guard let limit = RateLimit(text, scope: scope) else {
            throw failure(
                entry.value.line, "\(entry.key) is \"\(printable(text.utf8))\"", allowed: RateLimit.allowed(scope))
        }
        if let requests { configuration.limits[requests] = limit } else { configuration.budget = limit }
    }

    private func boolean(_ entry: TOMLEntry) throws(Failure) -> Bool {
        guard case .boolean(let value) = entry.value.content else {
            throw wrongType(entry.value, of: entry.key, allowed: "true or false")
        }
        return value
    }

    private func dryRun(_ entry: TOMLEntry) throws(Failure) -> Set<Reason> {
        let names = Reason.droppable.map { "\"\($0.name)\"" }.joined(separator: ", ")
        let allowed = "an array of \(names); or [\"\(LimitKey.all)\"]"
        guard case .array(let values) = entry.value.content else {
            throw wrongType(entry.value, of: entry.key, allowed: allowed)
        }
        var rules: Set<Reason> = []
        for value in values {
            guard case .string(let name) = value.content else {
                throw wrongType(value, of: "a rule", allowed: allowed)
            }
            guard let found = Set(dryRun: name) else {
                throw failure(value.line, "there is no rule \"\(printable(name.utf8))\"", allowed: allowed)
            }
            rules.formUnion(found)
        }
        return rules
    }

    private func profile(_ entry: TOMLEntry) throws(Failure) -> Profile {
        let allowed = Profile.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        guard case .string(let name) = entry.value.content else {
            throw wrongType(entry.value, of: entry.key, allowed: allowed)
        }
        guard let profile = Profile(rawValue: name) else {
            throw failure(entry.value.line, "there is no profile \"\(name)\"", allowed: allowed)
        }
        return profile
    }

    private func ports(_ entry: TOMLEntry) throws(Failure) -> Set<UInt16> {
        let allowed = "an array of UDP ports from 1 to \(UInt16.max), like [\(FASTPATH_SIP_PORT), 5061]"
        guard case .array(let values) = entry.value.content else {
            throw wrongType(entry.value, of: entry.key, allowed: allowed)
        }
        if values.isEmpty { throw failure(entry.value.line, "\(entry.key) is empty", allowed: allowed) }
        var ports: Set<UInt16> = []
        for value in values {
            guard case .integer(let number) = value.content else {
                throw wrongType(value, of: "a port", allowed: allowed)
            }
            guard let port = UInt16(exactly: number), port > 0 else {
                throw failure(value.line, "\(number) is no port", allowed: allowed)
            }
            guard ports.insert(port).inserted else {
                throw failure(value.line, "port \(number) is there twice", allowed: "each port once")
            }
        }
        return ports
    }

    private func number(_ entry: TOMLEntry, in range: ClosedRange<Int>, _ unit: String) throws(Failure) -> Int {
        let allowed = "\(unit), from \(range.lowerBound) to \(range.upperBound)"
        guard case .integer(let number) = entry.value.content else {
            throw wrongType(entry.value, of: entry.key, allowed: allowed)
        }
        guard range.contains(number) else {
            throw failure(entry.value.line, "\(entry.key) is \(number)", allowed: allowed)
        }
        return number
    }

    private func wrongType(_ value: TOMLValue, of key: String, allowed: String) -> Failure {
        failure(value.line, "\(key) is \(value.typeName)", allowed: allowed)
    }

    func failure(_ line: Int, _ reason: String, allowed: String) -> Failure {
        Failure(
            tried: "read the configuration", on: "\(file), line \(line)", because: reason,
            next: "Allowed: \(allowed). Nothing was changed.")
    }
}

extension Set<Reason> {
    /// The rules of a name: one, or all. Nil where there is none of that name.
    public init?(dryRun name: String) {
        if name == LimitKey.all {
            self = Set(Reason.droppable)
        } else if let reason = Reason.droppable.first(where: { $0.name == name }) {
            self = [reason]
        } else {
            return nil
        }
    }
}

extension FilterSettings {
    /// A configuration file that says exactly this, with a comment for each switch.
    public var toml: String {
        var lines = ["\(ConfigurationKey.profile.rawValue) = \"\(nearestProfile.rawValue)\""]
        let portList = ports.sorted().map { "\($0)" }.joined(separator: ", ")
        let values: [(key: ConfigurationKey, value: String, needs: FilterSwitch)] = [
            (.ports, "[\(portList)]", .ports), (.firstLineLimit, "\(firstLineLimit)", .firstLine),
            (.liveMaps, "\(hasLiveMaps)", .policy),
        ]
        for row in values {
            // A value whose switch is off is refused in a file.
            lines.append("\(isOn(row.needs) ? "" : "# ")\(row.key.rawValue) = \(row.value)")
        }
        let rules = dryRunNames.map { "\"\($0)\"" }.joined(separator: ", ")
        lines += ["\(ConfigurationKey.dryRun.rawValue) = [\(rules)]"]
        lines += ["", "[\(ConfigurationTable.limits.rawValue)]"]
        for requests in RequestClass.allCases {
            lines.append(limits[requests].map { "\(requests.name) = \"\($0)\"" } ?? "# \(requests.name) = \"5/s:20\"")
        }
        lines.append(budget.map { "\(LimitKey.budget) = \"\($0)\"" } ?? "# \(LimitKey.budget) = \"2000/s:4000\"")
        lines += ["", "[\(ConfigurationTable.switches.rawValue)]"]
        for filterSwitch in FilterSwitch.allCases {
            lines += ["# \(filterSwitch.sentence)", "\(filterSwitch.name) = \(isOn(filterSwitch))"]
        }
        return lines.map { $0 + "\n" }.joined()
    }
}
