// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Foundation
import Testing

/// What a command did.
struct Ran: CustomStringConvertible {
    var command: String
    var exit: Child.Exit
    var output: String
    var errors: String

    var description: String { "`\(command)` ended with \(exit)\n\(output)\(errors)" }
    var lines: [String] { output.split(separator: "\n").map(String.init) }
    var isDone: Bool { exit == .code(0) }
    /// As JSON.
    func decoded<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try decode(output)
    }
}

func decode<Value: Decodable>(_ text: String, _ type: Value.Type = Value.self) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Value.self, from: Data(text.utf8))
}

/// The command under test, in an instance and on a host.
struct Edge {
    /// The release command that `make` builds: tests of a debug build would be tests of something else.
    static let path = "build/vos-fastpath"
    /// All tests share one instance, and each starts by clearing what is left in it.
    static let instance = "e2e"

    /// Empty: the default instance.
    var instance = Self.instance
    /// Nil: this machine.
    var host: LabHost?
    /// Seconds that a command waits for another one; nil: as long as it does by itself.
    var lockTimeout: Int?

    var environment: [String: String] {
        var variables = instance.isEmpty ? [:] : [Instance.environmentVariable: instance]
        variables["VOS_FASTPATH_LOCK_TIMEOUT"] = lockTimeout.map { "\($0)" }
        return variables
    }
    var pinRoot: String { "/sys/fs/bpf/vos-fastpath" + (instance.isEmpty ? "" : "-\(instance)") }
    var stateFolder: String { "/var/lib/vos-fastpath" + (instance.isEmpty ? "" : "-\(instance)") }
    var configurationFolder: String { "/etc/vos-fastpath" + (instance.isEmpty ? "" : "-\(instance)") }
    var lockPath: String { "/run/vos-fastpath" + (instance.isEmpty ? "" : "-\(instance)") + ".lock" }
    var tuningLockPath: String { "/run/vos-fastpath" + (instance.isEmpty ? "" : "-\(instance)") + ".tuning.lock" }

    /// Runs it with any outcome.
    func run(_ arguments: [String], timeout: Duration = .seconds(60)) throws -> Ran {
        try #require(access(Self.path, X_OK) == 0, "\(Self.path) is missing: build it with `make`")
        return try runAny([Self.path] + arguments, timeout: timeout)
    }

    func run(_ arguments: String...) throws -> Ran { try run(arguments) }

    /// Runs it and requires exit code 0.
    @discardableResult
    func done(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws -> Ran {
        let ran = try run(arguments)
        try #require(ran.isDone, "\(ran)", sourceLocation: sourceLocation)
        return ran
    }

    @discardableResult
    func done(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> Ran {
        try done(arguments, sourceLocation: sourceLocation)
    }

    /// Runs a shell line in the same place, with the command as `$EDGE`.
    func shell(_ line: String, _ words: [String] = [], timeout: Duration = .seconds(60)) throws -> Ran {
        try runAny(["bash", "-c", line, "bash"] + words, timeout: timeout)
    }

    private func runAny(_ arguments: [String], timeout: Duration) throws -> Ran {
        let all = environment.merging(["EDGE": Self.path]) { $1 }
        let outcome = try Shell.outcome(of: arguments, in: host?.namespace, timeout: timeout, environment: all)
        return Ran(
            command: arguments.joined(separator: " "), exit: outcome.exit, output: outcome.output,
            errors: outcome.errors)
    }

    func stats(_ interface: String? = nil) throws -> StatsReport {
        try done(["stats", "--json"] + [interface].compactMap { $0 }).decoded()
    }

    func status() throws -> StatusReport { try done("status", "--json").decoded() }

    /// Addresses of a list with their states, in order.
    func list(_ kind: PolicyKind) throws -> [String: String] {
        let report: ListReport = try done(kind.rawValue, "list", "--json").decoded()
        return Dictionary(uniqueKeysWithValues: report.entries.map { ($0.address, $0.state) })
    }

    func export(_ kind: PolicyKind = .block) throws -> [String] { try done(kind.rawValue, "export").lines }

    /// Takes away what a test left, or one that crashed.
    func clear() throws {
        for interface in namesInFolder("\(pinRoot)/interfaces") {
            try Shell.run(["rm", "-rf", "--", "\(pinRoot)/interfaces/\(interface)"])
        }
        try Shell.run(["rm", "-rf", "--", pinRoot, stateFolder, lockPath, tuningLockPath, configurationFolder])
    }
}

/// `stats --json`
struct StatsReport: Decodable {
    struct Row: Decodable, Equatable {
        var name: String
        var mode: String
        var counters: [String: Int]
    }

    var interfaces: [Row]
    var total: [String: Int]

    func counters(of name: String) -> [String: Int]? { interfaces.first { $0.name == name }?.counters }
}

/// Of `up`, `status` and `config` with `--json`.
struct Settings: Decodable, Equatable {
    var switches: [String: Bool]
    var ports: [Int]
    var firstLineLimit: Int?
}

/// `status --json`
struct StatusReport: Decodable {
    struct Interface: Decodable {
        struct Program: Decodable {
            var id: Int
            var name: String
            var tag: String
            var mode: String
            var edge: Bool
        }

        var name: String
        var namespace: String?
        var filtering: Bool
        var mode: String?
        var driver: String?
        var profile: String?
        var settings: Settings?
        var program: Program?
        var sockets: Int?
        var pinned: Bool
        var instance: String?
        var ownLists: [List]
    }

    struct List: Decodable {
        var list: String
        var recorded: Int
        var inKernel: Int?
        var capacity: Int
        var byHand: Int
        var missing: Int
    }

    /// What is recorded of a kind.
    struct Kind: Decodable {
        var kind: String
        var recorded: Int
        var expired: Int
        var missing: Int
    }

    struct Table: Decodable {
        var prefixes: Int
        var capacity: Int
    }

    struct Oddity: Decodable {
        var name: String
        var text: String
        var next: String
    }

    var interfaces: [Interface]
    var lists: [List]
    var policy: [Kind]
    var table: Table?
    var oddities: [Oddity]

    func interface(_ name: String) -> Interface? { interfaces.first { $0.name == name } }
    /// The public map of a kind.
    func list(_ kind: PolicyKind) -> List? { lists.first { $0.list == kind.rawValue } }

    /// A kind as the policy table has it, where there is one; what no other kind accounts for is of this one.
    func inTable(_ kind: PolicyKind) -> List? {
        guard var list = list(kind), let own = policy.first(where: { $0.kind == kind.rawValue }) else { return nil }
        guard let table else { return list }
        let others = policy.filter { $0.kind != kind.rawValue }.reduce(0) { $0 + $1.recorded - $1.expired - $1.missing }
        (list.inKernel, list.missing, list.capacity) = (table.prefixes - others, own.missing, table.capacity)
        return list
    }
    var odd: [String] { oddities.map(\.name).sorted() }
}

/// `block list --json`
struct ListReport: Decodable {
    struct Entry: Decodable {
        var address: String
        var state: String
        var origin: String?
    }

    var list: String
    var entries: [Entry]
}

/// `up --json`
struct UpAnswer: Decodable {
    var interface: String
    var mode: String
    var profile: String
    var driver: String?
    var notes: [String]
    var warnings: [String]
}

/// Every counter, those not named 0: so no test forgets the ones that must not move.
func counters(_ moved: [Reason: Int] = [:]) -> [String: Int] {
    Dictionary(uniqueKeysWithValues: Reason.counted.map { ($0.name, moved[$0] ?? 0) })
}

func - (later: [String: Int], earlier: [String: Int]) -> [String: Int] {
    later.merging(earlier) { $0 - $1 }
}

/// A failed command says what, on what, why and what next, on standard error, and ends with `code`.
func expectFailure(
    _ ran: Ran, code: Int32 = 1, saying words: String..., sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(ran.exit == .code(code), "\(ran)", sourceLocation: sourceLocation)
    for part in ["error: cannot ", "  on    ", "  why   ", "  next  "] {
        #expect(
            ran.errors.split(separator: "\n").contains { $0.hasPrefix(part) }, "no line \"\(part)\" in \(ran)",
            sourceLocation: sourceLocation)
    }
    for word in words {
        #expect(ran.errors.contains(word), "\"\(word)\" is not in \(ran)", sourceLocation: sourceLocation)
    }
}

/// True as soon as `condition` holds; false after `timeout`.
func eventually(within timeout: Duration = .seconds(3), _ condition: () throws -> Bool) rethrows -> Bool {
    let end = ContinuousClock.now + timeout
    while true {
        if try condition() { return true }
        if ContinuousClock.now >= end { return false }
        usleep(2_000)
    }
}
