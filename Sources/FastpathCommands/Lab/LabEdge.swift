// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathLab
import Glibc

/// The edge that demo and stress work on: the real one, in an instance that exists for nothing else.
struct LabEdge: EdgeUnderTest {
    private let instance: Instance
    private let settings: FilterSettings

    /// Begins with nothing: what a run that was killed left is removed. A configuration file has no say here: a lab's
    /// result is the same on every host.
    init(instance: Instance, settings: FilterSettings) throws(Failure) {
        self.instance = instance
        self.settings = settings
        try purge()
    }

    func attach(_ interface: String) throws(Failure) {
        _ = try instance.edgeControl().up(UpRequest(interface: interface, settings: settings), now: moment())
    }

    func detach(_ interface: String) throws(Failure) {
        _ = try instance.edgeControl().down(.interface(interface), now: moment())
    }

    func block(_ sources: [IPPrefix]) throws(Failure) {
        _ = try instance.policyControl().add(sources, to: .block, now: moment())
    }

    func unblock(_ sources: [IPPrefix]) throws(Failure) {
        _ = try instance.policyControl().remove(sources, from: .block, now: moment())
    }

    func allow(_ sources: [IPPrefix]) throws(Failure) {
        _ = try instance.policyControl().add(sources, to: .allow, now: moment())
    }

    func disallow(_ sources: [IPPrefix]) throws(Failure) {
        _ = try instance.policyControl().remove(sources, from: .allow, now: moment())
    }

    func counters() throws(Failure) -> Counters { try instance.edgeControl().statistics().total }

    func purge() throws(Failure) {
        _ = try instance.edgeControl().down(.all, purge: true, now: moment())
        // SQLite's own files lie beside the record. The folder goes where nothing else is in it.
        for suffix in ["", "-wal", "-shm"] { unlink(instance.databasePath + suffix) }
        rmdir(instance.stateFolder)
        unlink(instance.lockPath)
    }

    func remains() -> [String] {
        [instance.pinRoot, instance.stateFolder, instance.lockPath].filter { access($0, F_OK) == 0 }
    }
}

extension CommonOptions {
    /// Demo and stress purge their instance when they end, so it must never be one that somebody else uses.
    func refuseInstance() throws {
        if instance != nil { throw ValidationError("this command has an instance of its own: leave out --instance") }
    }
}

/// What a command on a lab does with signals and a closed pipe: it tidies up before it ends.
enum LabSignals {
    static func install() {
        Interruption.install()
        // A handler, not SIG_IGN: programs that the lab starts would inherit that.
        signal(SIGPIPE) { _ in }
    }

    /// To be called where something was printed: where nobody reads any more, the lab ends as after Ctrl-C.
    static func stopWithoutReader(_ output: Output) {
        if output.writeError != 0, !Interruption.isRequested { raise(SIGTERM) }
    }
}
