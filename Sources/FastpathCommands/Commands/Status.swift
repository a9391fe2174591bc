// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct Status: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show where the edge runs, how, and what is odd.",
        discussion: """
            Which profile and switches are in force is read from the kernel, whoever loaded the program. \
            Interfaces with an XDP program or pins of ours, the lists against their capacity, and whatever an operator \
            would not expect, with what to do about it. Changes nothing.

            Example:
              vos-fastpath status
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "This interface only.", completion: .interfaces)
    var iface: String?

    func run(_ context: Context) throws(Failure) -> Outcome {
        let report = try context.edgeControl().status(of: iface, now: moment())
        if context.output.isJSON {
            context.output.json(report.json)
        } else {
            context.output.show(report, name: iface)
        }
        return .done
    }
}

extension Output {
    func show(_ report: EdgeReport, name: String?) {
        if report.edges.isEmpty {
            line(
                "The edge is on no interface\(name.map { " by the name \($0)" } ?? ""). Put it on one: vos-fastpath up IFACE"
            )
        } else {
            table(Self.table(of: report.edges))
        }
        line()
        if let policy = report.table { show(policy, report.policy) }
        table(Self.table(of: report.lists))
        for status in report.edges where !status.ownLists.isEmpty {
            line()
            line("Lists of its own: \(status.edge.label)")
            table(Self.table(of: status.ownLists))
        }
        showSockets(report)
        showLoudly(report)
        if !report.oddities.isEmpty { line() }
        for oddity in report.oddities {
            line(Styled("odd", .yellow), Styled("   \(oddity.sentence)"))
            line("      -> \(oddity.next)")
        }
    }

    /// Where there are AF_XDP sockets, or were.
    private func showSockets(_ report: EdgeReport) {
        let edges = report.edges.filter { $0.consumers?.isOfInterest ?? false }
        if !edges.isEmpty { line() }
        for status in edges {
            guard let consumers = status.consumers else { continue }
            line(Styled("\(status.edge.label): \(consumers.summary)", consumers.silent > 0 ? .yellow : nil))
        }
    }

    /// What nobody must miss: rules that drop nothing, SIP that passes unfiltered, maps that nobody reads.
    private func showLoudly(_ report: EdgeReport) {
        var sentences: [Styled] = []
        for status in report.edges {
            guard let settings = status.settings else { continue }
            if let dryRun = settings.dryRunSentence(on: status.edge.label) { sentences.append(Styled(dryRun, .yellow)) }
            for sentence in status.notes?.unfilteredSentences(settings) ?? [] {
                sentences.append(Styled("\(status.edge.label): \(sentence)", settings.isClassic ? nil : .yellow))
            }
        }
        if let sentence = report.publicMaps.sentence { sentences.append(Styled(sentence)) }
        if !sentences.isEmpty { line() }
        for sentence in sentences { line(sentence) }
    }

    private func show(_ policy: TableStatus, _ kinds: [KindStatus]) {
        var table = Table([.left("POLICY"), .right("ENTRIES"), .right("EXPIRED"), .right("SETS")])
        for kind in kinds {
            table.add([
                Styled(kind.kind.rawValue), Styled(Format.count(kind.recorded)), Styled(Format.count(kind.expired)),
                Styled(Format.count(kind.sets)),
            ])
        }
        self.table(table)
        line(
            "The policy table holds \(Format.count(policy.prefixes)) of \(Format.count(policy.capacity)) prefixes in "
                + "\(Format.megabytes(policy.bytes)), in force on "
                + (policy.readers.isEmpty ? "no interface" : policy.readers.joined(separator: ", ")) + ".")
        line()
    }

    private static func table(of edges: [EdgeStatus]) -> Table {
        var table = Table([
            .left("INTERFACE"), .left("MODE"), .left("DRIVER"), .left("PROFILE"), .left("PROGRAM"), .left("TAG"),
            .left("SINCE"), .right("SOCKETS"),
        ])
        for status in edges {
            let edge = status.edge
            let program = edge.attachment
            let mode: Style? =
                switch program?.mode {
                case .native where edge.isFiltering: .green
                case .generic where edge.isFiltering: .yellow
                default: .red
                }
            table.add([
                Styled(edge.label, .bold), Styled(edge.modeText, mode), Styled(edge.driver ?? "-"),
                Styled(status.profileText),
                Styled(program.map { $0.isEdge ? "\($0.programID)" : "\($0.programID) (\($0.programName))" } ?? "-"),
                Styled(program?.tag ?? "-"), Styled(program.map { Timestamp.local($0.loaded) } ?? "-"),
                Styled(status.sockets.map { "\($0)" } ?? "-"),
            ])
        }
        return table
    }

    private static func table(of lists: [ListStatus]) -> Table {
        // Beside a policy table they hold what somebody wrote by hand, and no more.
        let isBeside = !lists.contains(where: \.takesRecord)
        var columns: [Table.Column] =
            isBeside ? [.left("PUBLIC MAP"), .right("ENTRIES")] : [.left("LIST"), .right("IN FORCE")]
        columns.append(.right("CAPACITY"))
        if !isBeside { columns.append(.right("RECORDED")) }
        var table = Table(columns)
        for list in lists {
            let isFull = !list.isFrozen && (list.inKernel ?? list.recorded) >= list.capacity
            var row = [
                Styled(isBeside ? list.kind.map?.name ?? list.kind.rawValue : list.kind.rawValue),
                Styled(list.isFrozen ? "frozen" : list.inKernel.map { Format.count($0) } ?? "-", isFull ? .red : nil),
                Styled(Format.count(list.capacity)),
            ]
            if !isBeside { row.append(Styled(Format.count(list.recorded))) }
            table.add(row)
        }
        return table
    }
}

extension EdgeReport {
    var json: JSONValue {
        [
            "interfaces": .array(edges.map(\.json)),
            "lists": .array(lists.map(\.json)), "public_maps": publicMaps.json,
            "policy": .array(policy.map(\.json)),
            "table": table.map {
                [
                    "prefixes": .number($0.prefixes), "capacity": .number($0.capacity), "bytes": .number($0.bytes),
                    "in_force": .array($0.readers.map(JSONValue.string)),
                ]
            } ?? .null,
            "oddities": .array(
                oddities.map { ["name": .string($0.name), "text": .string($0.sentence), "next": .string($0.next)] }),
        ]
    }
}

extension EdgeStatus {
    /// "carrier, vlan off".
    fileprivate var profileText: String { settings?.description ?? (edge.isFiltering ? "unknown" : "-") }

    fileprivate var json: JSONValue {
        [
            "name": .string(edge.name ?? edge.label), "namespace": .optional(edge.namespaceName),
            "ifindex": .number(edge.interface.index), "filtering": .bool(edge.isFilteringForUs),
            "mode": .optional(edge.attachment?.mode.rawValue), "driver": .optional(edge.driver),
            "profile": .optional(settings?.description),
            "settings": settings?.json ?? .null, "program": edge.attachment?.json ?? .null,
            "sockets": sockets.map { .number($0) } ?? .null,
            "af_xdp": consumers.map {
                ["queues": .number($0.queues.count), "taken": .number($0.taken), "silent": .number($0.silent)]
            } ?? .null,
            "pinned": .bool(edge.isPinned),
            "instance": .optional(edge.otherInstance), "own_lists": .array(ownLists.map(\.json)),
            "unfiltered": settings.map(\.isClassic) == false ? notes?.unfilteredJSON ?? .null : .null,
        ]
    }
}

extension PublicMapsState {
    /// Who reads the shared public maps is null where all do that filter.
    var json: JSONValue {
        let readers: JSONValue =
            if case .keptWritable(let readers, _) = self { .array(readers.map { .string($0) }) } else { .null }
        return [
            "state": .string(name), "read_by": readers, "not_read_by": .array(unreadBy.map { .string($0) }),
            "text": .optional(sentence),
        ]
    }
}

extension ListStatus {
    fileprivate var json: JSONValue {
        [
            "list": .string(kind.rawValue), "recorded": .number(recorded),
            "in_kernel": inKernel.map { .number($0) } ?? .null, "capacity": .number(capacity),
            "by_hand": .number(byHand), "missing": .number(missing), "frozen": .bool(isFrozen),
        ]
    }
}

extension KindStatus {
    fileprivate var json: JSONValue {
        [
            "kind": .string(kind.rawValue), "recorded": .number(recorded), "expired": .number(expired),
            "beyond_public_maps": .number(beyondPublicMaps), "missing": .number(missing),
            "sets": .number(sets),
        ]
    }
}

extension Oddity {
    /// For programs; people get the sentence.
    fileprivate var name: String {
        switch self {
        case .foreignProgram: "foreign_program"
        case .otherInstance: "other_instance"
        case .programGone: "program_gone"
        case .interfaceGone: "interface_gone"
        case .ownLists: "own_lists"
        case .ownTable: "own_table"
        case .notEnforced: "not_enforced"
        case .listsWithoutInterface: "lists_without_interface"
        case .capacityChangeCutOff: "capacity_change_cut_off"
        case .writtenByHand: "written_by_hand"
        case .notInKernel: "not_in_kernel"
        }
    }
}
