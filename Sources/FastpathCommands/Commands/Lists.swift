// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore

/// Chooses a list for the commands that all lists have.
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

enum TrustList: ListTag {
    static let kind = PolicyKind.trust
    static let participle = "trusted"
    static let undone = "no longer trusted"
}

extension ListTag {
    static var commands: [any ParsableCommand.Type] {
        [
            ListAdd<Self>.self, ListRemove<Self>.self, ListShow<Self>.self, ListImport<Self>.self,
            ListExport<Self>.self, ListReplace<Self>.self,
        ]
    }
}

struct Block: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "block",
        abstract: "Sources whose packets are all dropped.",
        discussion: """
            A change is recorded, and effective with the next packet on all interfaces. Addresses and prefixes of IPv4 \
            and IPv6; interfaces of profile 'classic' enforce single IPv4 addresses alone. What would block a trusted \
            prefix, an address of this host or more than a share of all addresses is refused.

            Examples:
              vos-fastpath block add 192.0.2.1 198.51.100.0/24
              vos-fastpath block import --set voipbl --exclude-private voipbl.txt
            """,
        subcommands: BlockList.commands)
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
        subcommands: AllowList.commands)
}

struct Trust: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trust",
        abstract: "Sources from which nothing is ever dropped or limited: trunks, monitoring.",
        discussion: """
            A change is recorded, and effective with the next packet on all interfaces but those of profile 'classic', \
            which knows no trust. Trust beats block, whatever the prefix length.

            Example:
              vos-fastpath trust add --comment 'carrier A' 203.0.113.0/28
            """,
        subcommands: TrustList.commands)
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
