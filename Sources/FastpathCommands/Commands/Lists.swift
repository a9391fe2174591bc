// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore

/// Chooses a list for the commands that both lists have.
protocol ListTag {
    static var kind: PolicyKind { get }
    /// "blocked": what an address is that was added.
    static var participle: String { get }
    /// "unblocked": what it is when it was removed.
    static var undone: String { get }
}

enum BlockList: ListTag {
    static let kind = PolicyKind.block
    static let participle = "blocked"
    static let undone = "unblocked"
}

enum AllowList: ListTag {
    static let kind = PolicyKind.allow
    static let participle = "allowed"
    static let undone = "no longer allowed"
}

struct Block: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "block",
        abstract: "Sources whose packets are all dropped.",
        discussion: """
            A change is recorded, and effective with the next packet on all interfaces.

            Example:
              vos-fastpath block add 192.0.2.1 192.0.2.7
            """,
        subcommands: [
            ListAdd<BlockList>.self, ListRemove<BlockList>.self, ListShow<BlockList>.self, ListImport<BlockList>.self,
            ListExport<BlockList>.self,
        ])
}

struct Allow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "allow",
        abstract: "Sources that may send OPTIONS; those of all others are dropped.",
        discussion: """
            A change is recorded, and effective with the next packet on all interfaces. OPTIONS aside, the list has no \
            say: calls need no entry.

            Example:
              vos-fastpath allow add 198.51.100.7
            """,
        subcommands: [
            ListAdd<AllowList>.self, ListRemove<AllowList>.self, ListShow<AllowList>.self, ListImport<AllowList>.self,
            ListExport<AllowList>.self,
        ])
}

extension Output {
    /// Says so where a change waits for `up`.
    func noteUnlessInForce(_ isInForce: Bool) {
        if !isInForce { note("no interface filters: the change is recorded and waits for 'vos-fastpath up'") }
    }

    /// "192.0.2.1", or "3 addresses".
    func name(_ prefixes: [IPPrefix]) -> String {
        prefixes.count == 1 ? prefixes[0].description : Format.plural(prefixes.count, "address", "addresses")
    }
}

extension JSONValue {
    static func prefixes(_ prefixes: [IPPrefix]) -> JSONValue { .array(prefixes.map { .string($0.description) }) }
}
