// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathKernel

struct Up: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Put the edge on an interface, or replace it there without a gap.",
        discussion: """
            Which rules apply is said by the command line, else by the configuration file, else by the profile. The \
            lists come from the record. Where the edge runs already, the program is replaced in one step: policy \
            and counters are kept, no packet goes unfiltered. Native mode is tried first, then generic.

            Examples:
              vos-fastpath up eth0
              vos-fastpath up eth0 --switch vlan=off --port 5060 --port 5061
              vos-fastpath up eth0 --mode native --blocked-capacity 1000000
            """)

    @OptionGroup var common: CommonOptions

    @OptionGroup var configuration: ConfigurationOptions

    @Option(help: "Where the program runs: in the driver (native) or in the stack (generic).")
    var mode: ModeRequest = .auto

    @Option(
        help: ArgumentHelp("Load this object instead of the built-in one.", valueName: "file"),
        completion: .file(extensions: ["o"]))
    var object: String?

    @Option(help: ArgumentHelp("Entries that allowed_ips can hold; those that are there are kept.", valueName: "n"))
    var allowedCapacity: Int?

    @Option(help: ArgumentHelp("Entries that blocked_ips can hold; those that are there are kept.", valueName: "n"))
    var blockedCapacity: Int?

    @Option(
        help: ArgumentHelp(
            "Prefixes that the policy table can hold. Without it the table grows by itself, within policy_memory.",
            valueName: "n"))
    var policyCapacity: Int?

    @Flag(help: "Replace an XDP program that is not ours; change the mode, which makes a short gap.")
    var force = false

    @Argument(help: "The interface.", completion: .interfaces)
    var iface: String

    func validate() throws {
        for (capacity, kind) in [(allowedCapacity, PolicyKind.allow), (blockedCapacity, .block)] {
            guard let capacity else { continue }
            if UInt32(exactly: capacity) ?? 0 == 0 {
                throw ValidationError("\(kind.capacityOption) must be from 1 to \(UInt32.max)")
            }
        }
        if let policyCapacity, !(1...PolicyTable.capacityLimit).contains(policyCapacity) {
            throw ValidationError("--policy-capacity must be from 1 to \(PolicyTable.capacityLimit)")
        }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        var capacities: [PolicyKind: Int] = [:]
        capacities[.allow] = allowedCapacity
        capacities[.block] = blockedCapacity
        let said = try configuration.checked(context.instance)
        let request = UpRequest(
            interface: iface, mode: mode, object: object, settings: said.settings, capacities: capacities,
            policyCapacity: policyCapacity, force: force)
        let control = try context.edgeControl(limits: said.policyLimits)
        let progress = ListProgress(context.output)
        let report: UpReport
        do throws(Failure) {
            report = try control.up(request, now: moment(), progress: progress.update)
        } catch {
            progress.finish()
            throw error
        }
        progress.finish()
        context.output.show(report)
        return .done
    }
}

extension ModeRequest: ExpressibleByArgument {}

extension Output {
    func show(_ report: UpReport) {
        if isJSON { json(report.json) } else { showText(report) }
        for text in report.notes { note(text) }
        note(report.mending)
        // A pair in memory has no rings that an attach could reset.
        for warning in report.warnings where warning != .firstNativeAttach || report.edge.driver != "veth" {
            self.warning(warning.sentence)
        }
    }

    private func showText(_ report: UpReport) {
        let edge = report.edge
        var place = "in \(edge.modeText) mode"
        if let driver = edge.driver { place += ", driver \(driver)" }
        if let program = edge.attachment { place += ", program \(program.programID)" }
        line(
            Styled(edge.label, .bold),
            Styled(": the edge \(report.replaced == nil ? "is on" : "was replaced"), \(place)"))
        var rules = "  profile \(report.settings)"
        if let before = report.settingsBefore, before != report.settings { rules += "; was \(before)" }
        line(rules)
        var table = Table([.left(""), .right(""), .left("")], indent: 2)
        for list in report.lists where list.isWorthALine {
            table.add([Styled(list.title), Styled(list.room), Styled(list.remarks.joined(separator: "; "))])
        }
        if let policy = report.table {
            let room = "\(Format.count(policy.prefixes)) of \(Format.count(policy.capacity)) prefixes"
            table.add([Styled("policy table"), Styled(room), Styled(policy.remarks(report.recorded))])
        }
        self.table(table)
        if case .frozen = report.publicMaps, let sentence = report.publicMaps.sentence { line("  \(sentence)") }
        for other in report.moved { line("  \(other.label): moved to the shared lists, \(other.modeText) mode") }
    }
}

extension UpList {
    /// Where programs read the policy table, a public map without entries of somebody's hand is nobody's business.
    fileprivate var isWorthALine: Bool { takesRecord || !remarks.isEmpty }

    /// "block list"; where it holds only what was written by hand, the map's own name.
    fileprivate var title: String { takesRecord ? kind.listName : kind.map?.name ?? kind.listName }

    fileprivate var room: String {
        isFrozen ? "frozen" : "\(Format.count(entries)) of \(Format.count(capacity)) entries"
    }

    fileprivate var remarks: [String] {
        if isFrozen {
            return adopted == 0
                ? [] : ["\(Format.count(adopted)) written by hand: recorded now, and in the policy table"]
        }
        var remarks: [String] = []
        if let before = capacityBefore, before != capacity { remarks.append("capacity was \(Format.count(before))") }
        if adopted > 0 { remarks.append("\(Format.count(adopted)) adopted from the program that was there") }
        if byHand > 0 { remarks.append("\(Format.count(byHand)) written by hand") }
        return remarks
    }
}

extension UpTable {
    /// "block 3, allow 0, trust 2; 64 MB; capacity was 4,096".
    fileprivate func remarks(_ recorded: [PolicyKind: Int]) -> String {
        let counts = PolicyKind.allCases.map { "\($0.rawValue) \(Format.count(recorded[$0] ?? 0))" }
        var remarks = [counts.joined(separator: ", "), Format.megabytes(bytes)]
        if let before = capacityBefore, before != capacity { remarks.append("capacity was \(Format.count(before))") }
        return remarks.joined(separator: "; ")
    }
}

extension UpReport {
    var json: JSONValue {
        [
            "interface": .string(edge.name ?? edge.label),
            "mode": .optional(edge.attachment?.mode.rawValue),
            "driver": .optional(edge.driver),
            "program": edge.attachment?.json ?? .null,
            "profile": .string(settings.description),
            "settings": settings.json,
            "replaced": replaced?.json ?? .null,
            "lists": .array(
                lists.map { list in
                    [
                        "list": .string(list.kind.rawValue), "entries": .number(list.entries),
                        "capacity": .number(list.capacity), "adopted": .number(list.adopted),
                        "by_hand": .number(list.byHand), "frozen": .bool(list.isFrozen),
                    ]
                }),
            "public_maps": publicMaps.json,
            "recorded": .object(
                PolicyKind.allCases.map { .init(key: $0.rawValue, value: .number(recorded[$0] ?? 0)) }),
            "table": table.map {
                [
                    "prefixes": .number($0.prefixes), "capacity": .number($0.capacity), "bytes": .number($0.bytes),
                    "capacity_before": $0.capacityBefore.map { .number($0) } ?? .null,
                ]
            } ?? .null,
            "moved": .array(moved.map { .string($0.label) }),
            "notes": .array(notes.map(JSONValue.string)),
            "warnings": .array(warnings.map { .string($0.name) }),
        ]
    }
}

extension UpWarning {
    /// For programs; people get the sentence.
    var name: String {
        switch self {
        case .allowListEmpty: "allow_list_empty"
        case .notEnforced: "not_enforced"
        case .genericMode: "generic_mode"
        case .firstNativeAttach: "first_native_attach"
        case .otherObject: "other_object"
        case .mapsNotFrozen: "maps_not_frozen"
        case .dryRun: "dry_run"
        }
    }
}

extension Attachment {
    var json: JSONValue {
        [
            "id": .number(programID), "name": .string(programName), "tag": .string(tag),
            "loaded": .string(Timestamp.utc(loaded)), "mode": .string(mode.rawValue), "edge": .bool(isEdge),
        ]
    }
}
