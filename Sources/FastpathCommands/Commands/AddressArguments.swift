// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore

/// A command that works on addresses, of which there can be thousands.
protocol AddressCommand: EdgeCommand {
    var arguments: AddressArguments { get }
}

/// Addresses on the command line or in a file, and what scripts need.
struct AddressArguments: ParsableArguments {
    @Flag(help: "Change nothing and fail where no interface filters.")
    var requireLoaded = false

    @Flag(help: "Take single IPv4 addresses only: what every profile enforces.")
    var addressesOnly = false

    @Option(
        help: ArgumentHelp(
            "Take the addresses of a file too, one a line; - for standard input. Where a line is no address, "
                + "nothing is changed.", valueName: "file"),
        completion: .file())
    var from: String?

    @Argument(help: "IPv4 and IPv6 addresses, and prefixes like 192.0.2.0/24.")
    var addresses: [String] = []

    /// For `validate()`.
    func requireSome() throws {
        if addresses.isEmpty && from == nil {
            throw ValidationError("<addresses> are missing; --from takes them from a file")
        }
    }

    /// Those of the command line, then those of the file. Where one is wrong, none: then every bad line of the file
    /// is named in a warning.
    func prefixes(_ output: Output) throws(Failure) -> [IPPrefix] {
        let words = Self.unpacked(addresses)
        let named = try words.map { (text) throws(Failure) in
            let prefix = try IPPrefix(text)
            if addressesOnly { try prefix.requireAddress() }
            return prefix
        }
        guard let file = from.map(ListFile.init) else { return named }
        let list = try file.read(addressesOnly: addressesOnly)
        output.warnings(of: list.badLines, in: file.name)
        guard list.badLines.isEmpty else {
            let count = list.badLines.count
            throw Failure(
                .usage, tried: "take the addresses from a file", on: file.name,
                because: "\(Format.plural(count, "line")) of it \(count == 1 ? "is no address" : "are no addresses"); "
                    + "nothing was changed",
                next: "Mend or remove what the warnings name, then try again.")
        }
        if list.prefixes.isEmpty { output.note("\(file.name) holds no addresses") }
        return named + list.prefixes
    }
}

// MARK: - Many at a time

extension AddressArguments {
    /// What no word of a command line can hold.
    private static let separator: Character = "\0"

    /// Joins the words that can be nothing but addresses, for the parser takes time by the square of their number:
    /// with each it copies those before it (swift-argument-parser 1.8: 20,000 take 16 s).
    ///
    /// An option takes one value at most. So a word is an address where neither it nor the one before begins with a
    /// dash. `arguments` are those behind the command's names.
    static func packed(_ arguments: [String]) -> [String] {
        var result: [String] = []
        var run: [String] = []
        let isPlain = { (word: String?) in word.map { !$0.hasPrefix("-") } ?? false }
        for word in arguments {
            if isPlain(word) && isPlain(result.last) {
                run.append(word)
                continue
            }
            if !run.isEmpty { result.append(run.joined(separator: String(separator))) }
            run = []
            result.append(word)
        }
        if !run.isEmpty { result.append(run.joined(separator: String(separator))) }
        return result
    }

    /// The words again, in their order.
    static func unpacked(_ words: [String]) -> [String] {
        words.flatMap { $0.split(separator: separator, omittingEmptySubsequences: false).map(String.init) }
    }
}
