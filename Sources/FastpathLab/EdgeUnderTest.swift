// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// The edge as ``Demo`` and ``Stress`` use it. The lab calls every function on a thread that is in the network namespace
/// of the host to protect, so that interface names mean that host's; the policy is one for all interfaces.
public protocol EdgeUnderTest {
    /// Puts the program on an interface, or replaces the one of ours that is there with policy and counters kept.
    func attach(_ interface: String) throws(Failure)
    func detach(_ interface: String) throws(Failure)
    func block(_ sources: [IPPrefix]) throws(Failure)
    func unblock(_ sources: [IPPrefix]) throws(Failure)
    func allow(_ sources: [IPPrefix]) throws(Failure)
    func disallow(_ sources: [IPPrefix]) throws(Failure)
    /// The sum over all interfaces.
    func counters() throws(Failure) -> Counters
    /// Forgets the policy and removes what is left in the kernel and on disk. Called at last, also after a failure, and
    /// first, for what a killed run left.
    func purge() throws(Failure)
    /// What is left of the edge in the kernel and on disk, for a person; empty after ``purge()``.
    func remains() -> [String]
}
