// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore
import Glibc

extension KernelEdges {
    /// Loads the program with `policy` and `table` as its lists and puts it on the interface: in place of ours that is
    /// there, in one atomic step that keeps counters and sockets, or as the first. Tries `modes` in turn.
    /// `object` is a path, or nil for the built-in one; `settings` are what it is loaded with. With `force`, a foreign
    /// program is replaced, and a change of mode is made by detaching first. Pins what it attached.
    public func attach(
        _ interface: InterfaceID, object path: String?, policy: [PolicyKind: AddressMap], table: [String: BPFMap] = [:],
        settings: FilterSettings = .classic, modes: [XDPMode], force: Bool
    ) throws(Failure) -> (EdgeState, notes: [String]) {
        let namespace = try namespace(of: interface)
        return try namespace.perform { () throws(Failure) in
            let link = try link(interface)
            let old = try link.program.map { (found) throws(Failure) in
                (mode: found.mode, program: try Program.withID(found.id))
            }
            let program = try load(path, policy, table, settings, keeping: old?.program, interface)
            let notes = try put(program, on: link, over: old, modes: modes, force: force)
            do throws(Failure) {
                try pin(program, interface, withConsumers: settings.isOn(.consumers))
            } catch {
                try takeBack(program, from: link.index, restoring: old)
                throw error
            }
            return (try state(of: self.link(interface), interface, in: namespace, isPinned: true), notes)
        }
    }

    /// Takes our program off, if it is on, and removes the interface's pins. A foreign program stays.
    public func detach(_ edge: EdgeState) throws(Failure) {
        if let attachment = edge.attachment, attachment.isEdge {
            let program = try Program.withID(attachment.programID)
            try namespace(of: edge.interface).perform { () throws(Failure) in
                try XDP.detach(program, from: edge.interface.index, mode: attachment.mode)
            }
        }
        try pins.remove(edge.interface)
    }

    private func link(_ interface: InterfaceID) throws(Failure) -> Link {
        guard let link = try LinkTable.read().first(where: { $0.index == interface.index }) else {
            throw Failure(
                .noInterface, tried: "find the interface", on: "ifindex \(interface.index)", because: "it is gone",
                next: "`ip -br link` lists those that are there.")
        }
        return link
    }

    /// The program with the lists given, and with the counters and sockets that the interface has already.
    private func load(
        _ path: String?, _ policy: [PolicyKind: AddressMap], _ table: [String: BPFMap], _ settings: FilterSettings,
        keeping old: Program?, _ interface: InterfaceID
    ) throws(Failure) -> Program {
        var options = LoadedObject.Options()
        options.settings = settings
        options.maps = table
        for (kind, list) in policy { options.maps[try kind.publicMap().name] = list.map }
        let isReplacement = try old?.isEdge() ?? false
        for map in [PublicMap.counters, .xsks] {
            let pinned = try BPFMap.pinned(at: pins.mapPath(map, interface))
            options.maps[map.name] = isReplacement ? try old?.map(map) ?? pinned : pinned
        }
        if settings.isOn(.consumers), let consumers = try consumers(of: isReplacement ? old : nil, interface),
            consumers.capacity == options.maps[PublicMap.xsks.name]?.capacity
        {
            options.maps[FASTPATH_CONSUMERS_MAP] = consumers
        }
        let kept = path == nil && isReplacement ? try notes(of: old, loadedWith: settings) : [:]
        options.maps.merge(kept) { own, _ in own }
        let object = try LoadedObject.edge(path: path, options: options)
        let program = try object.program(edgeProgramName)
        if kept.isEmpty { try EdgeNotesReader(program).begin(at: Int64(time(nil))) }
        guard try program.isEdge() else {
            throw Failure(
                .unsupported, tried: "use the object", on: object.name,
                because: "its program \(edgeProgramName) does not use the four public maps",
                next: "Give the object that this project builds.")
        }
        return program
    }

    /// Who reads the interface's sockets goes on to do so, whichever program hands packets to them: the map of `old`, else
    /// the pinned one.
    private func consumers(of old: Program?, _ interface: InterfaceID) throws(Failure) -> BPFMap? {
        let size = MemoryLayout<fastpath_consumer>.stride
        let used = try old?.ownMap(FASTPATH_CONSUMERS_MAP)
        if let used, used.valueSize == size, used.capacity > 1 { return used }
        guard let pinned = try BPFMap.pinned(at: pins.consumersPath(interface)), pinned.valueSize == size else {
            return nil
        }
        return pinned
    }

    /// The maps of what `old` has noted, where its successor notes the same: it has the same settings, as when the policy
    /// table has grown.
    private func notes(of old: Program?, loadedWith settings: FilterSettings) throws(Failure) -> [String: BPFMap] {
        guard let old, try FilterSettings.of(old) == settings else { return [:] }
        var kept: [String: BPFMap] = [:]
        for (name, entries) in [
            (FASTPATH_NOTES_MAP, Int(FASTPATH_NOTES_ENTRIES)),
            (FASTPATH_DRY_RUN_SOURCES_MAP, settings.dryRun.isEmpty ? 1 : Int(FASTPATH_DRY_RUN_SOURCES_ENTRIES)),
        ] {
            // All or none.
            guard let map = try old.ownMap(name), map.capacity == entries else { return [:] }
            kept[name] = map
        }
        return kept
    }

    /// Attaches, in the first mode that the kernel takes. Returns why earlier ones were refused.
    private func put(
        _ program: Program, on link: Link, over old: (mode: XDPMode, program: Program)?, modes: [XDPMode], force: Bool
    ) throws(Failure) -> [String] {
        var old = old
        var notes: [String] = []
        if let present = old {
            if try !present.program.isEdge(), !force {
                throw Failure(
                    .foreignProgram(id: present.program.id), tried: "attach the program", on: link.name,
                    because: "another XDP program is attached: \(present.program.name), id \(present.program.id)",
                    next: "Detach it, or replace it with --force.")
            }
            if !modes.contains(present.mode) {
                guard force else {
                    throw Failure(
                        .modeConflict, tried: "change to \(modes.map(\.rawValue).joined(separator: " or ")) mode",
                        on: link.name,
                        because:
                            "the kernel does not change from \(present.mode.rawValue) mode while a program is attached",
                        next: "Add --force: it detaches first, and packets pass unfiltered for some milliseconds.")
                }
                try XDP.detach(present.program, from: link.index, mode: present.mode)
                notes.append("Changed the mode by detaching first: packets passed unfiltered meanwhile.")
                old = nil
            }
        }
        let candidates = old.map { [$0.mode] } ?? modes
        for (number, mode) in candidates.enumerated() {
            do throws(Failure) {
                try XDP.attach(program, to: link.index, mode: mode, replacing: old?.program)
                return notes
            } catch {
                guard number + 1 < candidates.count, case .system = error.kind else { throw error.about(link.name) }
                let kernelsWord = error.details.map { ": " + $0.split(separator: "\n").joined(separator: " ") } ?? ""
                notes.append("\(mode.rawValue) mode was refused: \(error.reason)\(kernelsWord)")
            }
        }
        throw Failure(
            .usage, tried: "attach the program", on: link.name, because: "no mode was given", next: "Give a mode.")
    }

    private func pin(_ program: Program, _ interface: InterfaceID, withConsumers: Bool) throws(Failure) {
        try pins.makeFolder(of: interface)
        for map in [PublicMap.counters, .xsks] {
            try program.map(map)?.pin(at: pins.mapPath(map, interface))
        }
        if withConsumers {
            try program.ownMap(FASTPATH_CONSUMERS_MAP)?.pin(at: pins.consumersPath(interface))
        } else {
            // Who comes now must not take it for one that is read.
            unlink(pins.consumersPath(interface))
        }
        try pinObject(program.fd, at: pins.programPath(interface))
    }

    /// Undo of `put`: the old program again, or none.
    private func takeBack(
        _ program: Program, from index: UInt32, restoring old: (mode: XDPMode, program: Program)?
    ) throws(Failure) {
        guard let attached = try LinkTable.read().first(where: { $0.index == index })?.program,
            attached.id == program.id
        else { return }
        if let old, old.mode == attached.mode {
            try XDP.attach(old.program, to: index, mode: old.mode, replacing: program)
        } else {
            try XDP.detach(program, from: index, mode: attached.mode)
        }
    }
}

extension Failure {
    /// The same failure, with a name that an operator knows in place of an ifindex.
    fileprivate func about(_ name: String) -> Failure {
        var named = self
        named.subject = name
        return named
    }
}
