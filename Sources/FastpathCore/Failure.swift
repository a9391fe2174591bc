// SPDX-License-Identifier: Apache-2.0

/// The one error of the project: what was tried, on what, why it failed and what to do next.
///
/// Rooms below the commands throw it; only the commands print it. Code that must tell failures
/// apart looks at ``kind``, never at the text.
public struct Failure: Error, Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// A bad argument, address, file line or option: exit code 64.
        case usage
        case notRoot
        /// The host lacks something: bpffs, BTF, a kernel feature, a program.
        case unsupported
        /// No program of ours where one is needed.
        case notLoaded
        /// The interface does not exist.
        case noInterface
        /// An XDP program that is not ours is attached.
        case foreignProgram(id: UInt32)
        /// native <-> generic needs `--force`.
        case modeConflict
        case mapFull(capacity: Int)
        /// Another command holds the lock.
        case busy
        /// A system call failed; `errno` as the kernel gave it, positive.
        case system(errno: Int32)
        case other
    }

    public var kind: Kind
    /// What was tried, as a verb phrase: "attach the program in native mode".
    public var tried: String
    /// On what: an interface, a file, an address.
    public var subject: String
    /// Why it failed: errno text, the verifier's summary, the rule that was broken.
    public var reason: String
    /// What to do next, as an order: "Run it as root."
    public var next: String
    /// Long material (a verifier log), shown below the rest.
    public var details: String?
    /// It failed, and so did taking back what it had done: the next operation finds out and puts it right, as after a
    /// crash. ``details`` say what is left.
    public var isHalfDone = false

    public init(
        _ kind: Kind = .other, tried: String, on subject: String, because reason: String, next: String,
        details: String? = nil
    ) {
        self.kind = kind
        self.tried = tried
        self.subject = subject
        self.reason = reason
        self.next = next
        self.details = details
    }
}

extension Failure: CustomStringConvertible {
    /// "cannot TRIED (SUBJECT): REASON. NEXT"
    public var description: String {
        "cannot \(tried) (\(subject)): \(reason). \(next)"
    }
}
