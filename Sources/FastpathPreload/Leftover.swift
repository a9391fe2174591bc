// SPDX-License-Identifier: Apache-2.0
import CPreload
import Synchronization

/// What a reader leaves in a ring behind the datagram that it takes, and who is woken for it.
///
/// The kernel wakes one process for each batch of datagrams, and the readers wake each other for the rest of it. Two
/// datagrams at once are mostly two batches, though, and the second reader is on its way: a third one would be woken in
/// vain, by a call of the first, whose CPU it takes. So for one datagram alone nobody is woken until the reader turns to
/// something that may take long, a call about another descriptor; mostly it comes back first, and takes it. Should
/// neither be, one of those who wait looks within ``patience``.
enum Leftover {
    /// Milliseconds that a process waits at most before it looks again, while datagrams come.
    static let patience = 50
    /// One datagram of this binding was left, and nobody woken; -1: of none.
    nonisolated(unsafe) private static var binding = -1

    /// Behind a datagram that was taken, at `time` (``Beat/time``).
    static func leave(_ count: UInt32, to binding: Int, _ time: Int) {
        let isBusy = Shared.bindings[binding].noteTaken(at: time)
        if count == 1, isBusy {
            self.binding = binding
        } else if count > 0 {
            Shared.bindings[binding].wake()
        }
    }

    /// At a call of the server's about another descriptor.
    @inline(__always)
    static func settle() {
        if binding >= 0 { wake() }
    }

    @inline(never)
    private static func wake() {
        let left = binding
        binding = -1
        if Waiting.mayHaveSome(left) { Shared.bindings[left].wake() }
    }
}

extension Binding {
    /// Microseconds without datagrams after which those who wait look again but rarely.
    private static let pause = 1_000_000

    /// True where datagrams have come for so long that all who wait have noticed.
    fileprivate func noteTaken(at time: Int) -> Bool {
        let last = lastTaken.load(ordering: .relaxed)
        // Written by all readers, so no oftener than the clock ticks.
        if last != time {
            if time - last > Self.pause { busySince.store(time, ordering: .relaxed) }
            lastTaken.store(time, ordering: .relaxed)
        }
        return time - busySince.load(ordering: .relaxed) > (Beat.interval + 100) * 1_000
    }

    /// Milliseconds that one who waits for datagrams waits before it looks and beats again.
    func slice(at time: Int) -> Int {
        time - lastTaken.load(ordering: .relaxed) > Self.pause ? Beat.interval : Leftover.patience
    }
}
