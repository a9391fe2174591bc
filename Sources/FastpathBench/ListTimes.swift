// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// How long the command takes to change lists, recorded on disk and applied in the kernel, from its start to its end;
/// and other tools for the same.
public struct ListTimes: Hashable, Sendable {
    /// `block add`, beside 1 000 others.
    public var addOne = Figure("lists.add_one", .milliseconds)
    /// `block add`, beside a million.
    public var addOneToMany = Figure("lists.add_one_to_1000000", .milliseconds)
    /// `block import`
    public var importSome = Figure("lists.import_5000", .milliseconds)
    public var importMany = Figure("lists.import_1000000", .milliseconds)
    /// Into a set: addresses and prefixes, IPv4 and IPv6.
    public var importMixed = Figure("lists.import_mixed_1000000", .milliseconds)
    /// Another file in place of that set, a tenth of which is new.
    public var replaceMixed = Figure("lists.replace_mixed_1000000", .milliseconds)
    /// The same in other tools, not recorded: nft and ipset sets, a rule of iptables for each address.
    public var others: [Figure] = [
        Figure("lists.nft_add_one", .milliseconds), Figure("lists.ipset_add_one", .milliseconds),
        Figure("lists.iptables_add_one", .milliseconds), Figure("lists.nft_import_1000000", .milliseconds),
        Figure("lists.ipset_import_1000000", .milliseconds),
    ]

    public static let some = 5_000
    public static let many = 1_000_000

    var figures: [Figure] { [addOne, addOneToMany, importSome, importMany, importMixed, replaceMixed] + others }

    var goals: [Goal] {
        [
            Goal(figure: addOne, relation: .atMost, limit: 20, label: "one address, recorded and applied"),
            Goal(figure: addOneToMany, relation: .atMost, limit: 20, label: "one address beside a million"),
            Goal(figure: importSome, relation: .atMost, limit: 200, label: "5,000 addresses"),
            Goal(figure: importMany, relation: .atMost, limit: 5_000, label: "1,000,000 addresses"),
            Goal(figure: importMixed, relation: .atMost, limit: 5_000, label: "1,000,000 mixed prefixes"),
            Goal(figure: replaceMixed, relation: .atMost, limit: 5_000, label: "1,000,000 mixed prefixes replaced"),
        ].filter { !$0.figure.samples.isEmpty }
    }

    fileprivate mutating func add(_ run: TimedCommand?, to name: String) {
        guard let run, let index = others.firstIndex(where: { $0.name == "lists.\(name)" }) else { return }
        others[index].samples.append(run.milliseconds)
    }
}

extension ListTimes {
    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> ListTimes {
        let host = try laboratory.addHost("lists")
        let peer = try laboratory.addHost("peer")
        _ = try laboratory.connect(.init(host, "eth0", 0x0a63_6501), .init(peer, "eth0", 0x0a63_6502))
        let command = try CommandUnderTest(bench.settings.command, host)
        defer { command.remove() }
        let files = try ListFiles(in: laboratory.folder, seed: bench.settings.seed)
        let isQuick = bench.settings.isQuick

        var times = ListTimes()
        // A step is as long as it is; the bar need not be even.
        let imports = isQuick ? 1 : 3
        try bench.rounds(3 + 3 * imports, of: .lists) { (step) throws(Failure) in
            switch step {
            case 0: try times.measureSingle(command, files, count: isQuick ? 7 : 25)
            case 1: try times.measureSome(command, files, count: isQuick ? 3 : 9)
            case 2: try times.measureOthersSingle(host, count: isQuick ? 7 : 25)
            case 3..<3 + imports: try times.measureMany(command, files, count: isQuick ? 3 : 7)
            case 3 + imports..<3 + 2 * imports: try times.measureMixed(command, files)
            default: try times.measureOthersMany(host, files)
            }
        }
        return times
    }

    private mutating func measureSingle(_ command: CommandUnderTest, _ files: ListFiles, count: Int) throws(Failure) {
        try command.up(capacity: 2 * files.fewCount)
        try command.run(["block", "import", files.few])
        for number in 0..<count {
            try Interruption.check()
            addOne.samples.append(try command.time(["block", "add", ListFiles.single(number)]))
        }
        try command.expectBlocked(files.fewCount + count)
        try command.down()
    }

    private mutating func measureSome(_ command: CommandUnderTest, _ files: ListFiles, count: Int) throws(Failure) {
        for _ in 0..<count {
            try Interruption.check()
            try command.up(capacity: 2 * Self.some)
            importSome.samples.append(try command.time(["block", "import", files.some]))
            try command.expectBlocked(Self.some)
            try command.down()
        }
    }

    private mutating func measureMany(_ command: CommandUnderTest, _ files: ListFiles, count: Int) throws(Failure) {
        try command.up(capacity: Self.many + Self.many / 5)
        importMany.samples.append(try command.time(["block", "import", files.many]))
        for number in 0..<count {
            addOneToMany.samples.append(try command.time(["block", "add", ListFiles.single(number)]))
        }
        try command.expectBlocked(Self.many + count)
        try command.down()
    }

    private mutating func measureMixed(_ command: CommandUnderTest, _ files: ListFiles) throws(Failure) {
        try command.up(capacity: Self.many + Self.many / 5)
        importMixed.samples.append(try command.time(["block", "import", "--set", "feed", files.mixed]))
        try command.expectBlocked(Self.many)
        replaceMixed.samples.append(try command.time(["block", "import", "--set", "feed", files.other]))
        try command.expectBlocked(Self.many)
        try command.down()
    }

    private mutating func measureOthersSingle(_ host: LabHost, count: Int) throws(Failure) {
        let nft = try program("nft"), ipset = try program("ipset"), iptables = try program("iptables")
        try Shell.run([nft, "add", "table", "ip", "bench"], in: host.namespace)
        let set = ["set", "ip", "bench", "blocked", "{ type ipv4_addr; size 65536; }"]
        try Shell.run([nft, "add"] + set, in: host.namespace)
        try Shell.run([ipset, "create", "blocked", "hash:ip"], in: host.namespace)
        for number in 0..<count {
            try Interruption.check()
            let address = ListFiles.single(number)
            add(
                try .run([nft, "add", "element", "ip", "bench", "blocked", "{ \(address) }"], on: host),
                to: "nft_add_one")
            add(try .run([ipset, "add", "blocked", address], on: host), to: "ipset_add_one")
            add(
                try .run([iptables, "-w", "-I", "INPUT", "-s", address, "-j", "DROP"], on: host), to: "iptables_add_one"
            )
        }
        try Shell.run([nft, "delete", "table", "ip", "bench"], in: host.namespace)
        try Shell.run([iptables, "-F", "INPUT"], in: host.namespace)
        try Shell.run([ipset, "destroy", "blocked"], in: host.namespace)
    }

    private mutating func measureOthersMany(_ host: LabHost, _ files: ListFiles) throws(Failure) {
        let nft = try program("nft"), ipset = try program("ipset")
        add(try .run([nft, "-f", files.nft], on: host), to: "nft_import_1000000")
        _ = try? Shell.run([nft, "delete", "table", "ip", "bench"], in: host.namespace)
        try Interruption.check()
        add(try .run([ipset, "restore", "-file", files.ipset], on: host), to: "ipset_import_1000000")
        _ = try? Shell.run([ipset, "destroy", "blocked"], in: host.namespace)
    }

    private func program(_ name: String) throws(Failure) -> String {
        for folder in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"] where access("\(folder)/\(name)", X_OK) == 0 {
            return "\(folder)/\(name)"
        }
        throw Failure(
            .unsupported, tried: "find a program", on: name, because: "it is not installed",
            next: "Install it: `apt-get install nftables ipset iptables`.")
    }
}

/// The command on a host, with an instance of its own.
private struct CommandUnderTest {
    private let path: String
    private let host: LabHost
    private let instance: Instance

    init(_ path: String, _ host: LabHost) throws(Failure) {
        self.path = path
        self.host = host
        instance = try Instance(named: Bench.name)
        // What a killed run left.
        remove()
    }

    private func line(_ arguments: [String]) -> [String] { [path] + arguments + ["--instance", Bench.name] }

    @discardableResult
    func run(_ arguments: [String]) throws(Failure) -> String {
        try Shell.run(line(arguments), in: host.namespace)
    }

    /// Milliseconds.
    func time(_ arguments: [String]) throws(Failure) -> Double {
        guard let run = try TimedCommand.run(line(arguments), on: host, timeout: .seconds(30)) else {
            throw unexpected(
                "take a command's time", on: arguments.joined(separator: " "), because: "it takes over 30 s")
        }
        return run.milliseconds
    }

    func up(capacity: Int) throws(Failure) { try run(["up", "eth0", "--policy-capacity", "\(capacity)"]) }

    func down() throws(Failure) { try run(["down", "--all", "--purge"]) }

    /// Are so many in the policy table, and in the record?
    func expectBlocked(_ count: Int) throws(Failure) {
        let maps = try KernelEdges(instance: instance).sharedTableMaps(PolicyTable.mapNames)
        let inKernel = try maps.map { (maps) throws(Failure) in try PolicyTable(maps: maps).statistics.prefixes } ?? 0
        let recorded = try run(["block", "export"]).utf8.count { $0 == UInt8(ascii: "\n") }
        guard inKernel == count, recorded >= count else {
            throw unexpected(
                "take the command's times", on: "\(count) addresses",
                because: "\(inKernel) are in force and \(recorded) recorded")
        }
    }

    /// Everything of the instance.
    func remove() {
        _ = try? Shell.run(line(["down", "--all", "--purge"]), in: host.namespace)
        for name in namesInFolder(instance.stateFolder) { unlink("\(instance.stateFolder)/\(name)") }
        rmdir(instance.stateFolder)
        unlink(instance.lockPath)
    }
}

/// Lists as feeds deliver them: addresses in no order.
private struct ListFiles {
    let fewCount = 1_000
    let few: String
    let some: String
    let many: String
    /// As many, 13 of 20 addresses, 4 of length 24, 1 of length 20, 2 of IPv6 and length 64.
    let mixed: String
    /// The same but for a tenth.
    let other: String
    /// The many, for nft -f and for ipset restore.
    let nft: String
    let ipset: String

    init(in folder: String, seed: UInt64) throws(Failure) {
        (few, some, many) = ("\(folder)/few", "\(folder)/some", "\(folder)/many")
        (nft, ipset) = ("\(folder)/nft", "\(folder)/ipset")
        (mixed, other) = ("\(folder)/mixed", "\(folder)/other")
        let offset = UInt32(truncatingIfNeeded: seed)
        try writeFile(Self.lines(fewCount, offset), to: few)
        try writeFile(Self.lines(ListTimes.some, offset), to: some)
        try writeFile(Self.lines(ListTimes.many, offset), to: many)
        let tenth = ListTimes.many / 10
        try writeFile(Self.mixedLines(0..<ListTimes.many, offset), to: mixed)
        try writeFile(Self.mixedLines(tenth..<ListTimes.many + tenth, offset), to: other)
        let size = ListTimes.many + ListTimes.many / 5
        try writeFile(
            Array("table ip bench { set blocked { type ipv4_addr; size \(size); elements = {\n".utf8)
                + Self.lines(ListTimes.many, offset, after: ",") + Array("}\n}\n}\n".utf8), to: nft)
        try writeFile(
            Array("create blocked hash:ip maxelem \(size)\n".utf8)
                + Self.lines(ListTimes.many, offset, before: "add blocked "), to: ipset)
    }

    /// A part of a sequence of prefixes, each of them once.
    private static func mixedLines(_ range: Range<Int>, _ offset: UInt32) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(range.count * 20)
        for number in range {
            let index = UInt32(truncatingIfNeeded: number)
            let prefix =
                switch number % 20 {
                case 13..<17: IPPrefix(family: .ipv4, bits: 0x0b00_0000 + UInt128(index) << 8, length: 24)
                case 17: IPPrefix(family: .ipv4, bits: 0x4000_0000 + UInt128(index / 20) << 12, length: 20)
                case 18...: IPPrefix(family: .ipv6, bits: 0x2001_0db8 << 96 | UInt128(index) << 64, length: 64)
                // 128.0.0.0 and on, where none of the others is.
                default: IPPrefix(ipv4: 0x8000_0000 | (offset &+ index &* 2_654_435_769) >> 1)
                }
            text += Array("\(prefix)\n".utf8)
        }
        return text
    }

    /// One that is in none of the files: they hold no 0.
    static func single(_ number: Int) -> String { "0.0.\(number / 250).\(number % 250 + 1)" }

    /// `count` different addresses, a line each: the multiples of an odd number modulo 2^32 are all different.
    private static func lines(_ count: Int, _ offset: UInt32, before: StaticString = "", after: StaticString = "")
        -> [UInt8]
    {
        var text: [UInt8] = []
        text.reserveCapacity(count * 32)
        var address = offset
        var written = 0
        while written < count {
            address &+= 2_654_435_769
            if address >> 24 == 0 { continue }
            before.withUTF8Buffer { text.append(contentsOf: $0) }
            for shift in [24, 16, 8, 0] as [UInt32] {
                appendDecimal(UInt8(truncatingIfNeeded: address >> shift), to: &text)
                if shift > 0 { text.append(UInt8(ascii: ".")) }
            }
            after.withUTF8Buffer { text.append(contentsOf: $0) }
            text.append(UInt8(ascii: "\n"))
            written += 1
        }
        return text
    }

    private static func appendDecimal(_ number: UInt8, to text: inout [UInt8]) {
        if number >= 100 { text.append(0x30 + number / 100) }
        if number >= 10 { text.append(0x30 + number / 10 % 10) }
        text.append(0x30 + number % 10)
    }
}
