// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

extension Queue {
    /// Runs `body` with the queue's lock, or not at all where nothing is left for the binding. False where the lock is not
    /// to be had for 20 ms: its holder was stopped.
    @inline(__always)
    mutating func locked(for binding: Int, _ body: (inout Queue) -> Void) -> Bool {
        var code = fastpath_lock_try(&lock)
        // Held for less than a microsecond, as a rule; and of those who were woken for one datagram one gets it.
        var turns = 0
        while code == EBUSY, turns < 100 {
            fastpath_relax()
            if !mayHave(binding) { return true }
            code = fastpath_lock_try(&lock)
            turns += 1
        }
        if code == EBUSY, isStuck.load(ordering: .relaxed) != 0 {
            usleep(1_000)
            return false
        }
        if code == EBUSY {
            var until = timespec()
            clock_gettime(CLOCK_MONOTONIC, &until)
            until.tv_nsec += 20_000_000
            if until.tv_nsec >= 1_000_000_000 {
                until.tv_sec += 1
                until.tv_nsec -= 1_000_000_000
            }
            code = fastpath_lock_wait(&lock, &until)
        }
        if code == EOWNERDEAD {
            recover()
            fastpath_lock_mend(&lock)
        } else if code != 0 {
            isStuck.store(1, ordering: .relaxed)
            return false
        }
        if isStuck.load(ordering: .relaxed) != 0 { isStuck.store(0, ordering: .relaxed) }
        body(&self)
        pthread_mutex_unlock(&lock)
        return true
    }

    /// Is there something for a binding, or for somebody? Without the lock: a hint.
    @inline(__always)
    func mayHave(_ binding: Int) -> Bool { ready(for: binding) > 0 }

    /// How many datagrams there may be for a binding. Without the lock: a hint.
    @inline(__always)
    func ready(for binding: Int) -> UInt32 {
        socket.receive.ready &+ (Shared.bindingCount > 1 ? others[binding].ready : 0)
    }

    /// Gives the next datagram of a binding to `deliver`, which answers whether it is used up. The lock is held.
    @inline(__always)
    mutating func take(_ binding: Int, checks: Bool, _ deliver: (UnsafeRawBufferPointer, Datagram) -> Bool) {
        if Shared.bindingCount > 1, others[binding].ready > 0 {
            let moved = others[binding][others[binding].first]
            let frame = frame(moved.address, moved.length)
            // It was read when it was moved.
            if case .datagram(let datagram) = Datagram.parse(frame, checks: false), !deliver(frame, datagram) { return }
            recycle(moved.address, from: 1 + UInt64(binding), index: others[binding].first)
            return
        }
        // Bounded: what is not for this binding is moved or thrown away, and others want the lock.
        for _ in 0..<64 where socket.receive.ready > 0 {
            let index = socket.receive.first
            let descriptor = socket.receive[index]
            let frame = frame(descriptor.addr, descriptor.len)
            switch Datagram.parse(frame, checks: checks) {
            case .datagram(let datagram):
                let owner = Endpoints.owner(of: datagram)
                if owner == binding {
                    guard deliver(frame, datagram) else { return }
                    count(FASTPATH_CONSUMER_DELIVERED)
                    recycle(descriptor.addr, from: 0, index: index)
                    return
                }
                // Frames that wait for readers who do not come are missing from the fill ring.
                if owner >= 0, others[owner].ready < socket.receive.size / 4 {
                    move(descriptor, to: owner, index: index)
                    continue
                }
                handBack(frame, datagram)
            case .forKernel: handBack(frame, nil)
            case .badFormat: count(FASTPATH_CONSUMER_BAD_FORMAT)
            case .badChecksum: count(FASTPATH_CONSUMER_BAD_CHECKSUM)
            }
            recycle(descriptor.addr, from: 0, index: index)
        }
        // For who waits for an edge: there is more, and no news of it will come.
        if socket.receive.ready > 0 { Shared.bindings[binding].wake(always: true) }
    }

    private func handBack(_ frame: UnsafeRawBufferPointer, _ datagram: Datagram?) {
        HandBack.send(frame, datagram)
        count(FASTPATH_CONSUMER_HANDED_BACK)
    }

    private func frame(_ address: UInt64, _ length: UInt32) -> UnsafeRawBufferPointer {
        // The kernel wrote it, and children of the server may have written over it.
        guard address < UInt64(socket.length), UInt64(length) <= UInt64(socket.length) - address else {
            return UnsafeRawBufferPointer(start: socket.frames, count: 0)
        }
        return UnsafeRawBufferPointer(start: socket.frames + Int(address), count: Int(length))
    }

    // MARK: Steps that must not be cut in two

    /// Gives a frame back to the kernel and releases where it came from.
    @inline(never)
    private func recycle(_ address: UInt64, from source: UInt64, index: UInt32) {
        let fill = socket.fill
        let next = fill.next
        let frame = address & ~UInt64(socket.frameSize - 1)
        journal.frame.store(frame, ordering: .relaxed)
        journal.fillIndex.store(next, ordering: .relaxed)
        journal.step.store(Journal.recycles | source << 32 | UInt64(index), ordering: .releasing)
        fill[next] = frame
        fill.publish(upTo: next &+ 1)
        release(source, upTo: index &+ 1)
        journal.step.store(0, ordering: .releasing)
        if fill.needsWakeup { _ = Real.functions.pointee.recvfrom(socket.fd, nil, 0, Int32(MSG_DONTWAIT), nil, nil) }
    }

    /// Puts a descriptor into the queue of another binding, which has room for all frames there are.
    private func move(_ descriptor: xdp_desc, to binding: Int, index: UInt32) {
        let other = others[binding]
        journal.step.store(Journal.moves | UInt64(1 + binding) << 32 | UInt64(index), ordering: .releasing)
        other[other.next] = Moved(address: descriptor.addr, length: descriptor.len, index: index)
        other.publish(upTo: other.next &+ 1)
        socket.receive.release(upTo: index &+ 1)
        journal.step.store(0, ordering: .releasing)
        count(FASTPATH_CONSUMER_DELIVERED)
        Shared.bindings[binding].wake(always: true)
    }

    private func release(_ source: UInt64, upTo index: UInt32) {
        if source == 0 { socket.receive.release(upTo: index) } else { others[Int(source) - 1].release(upTo: index) }
    }

    /// Finishes what the last holder of the lock had begun when it ended: its datagram was delivered or is lost with it.
    private func recover() {
        let step = journal.step.load(ordering: .acquiring)
        let source = step >> 32 & 0xffff
        let index = UInt32(truncatingIfNeeded: step)
        if step & Journal.recycles != 0 {
            let fill = socket.fill
            if fill.next == journal.fillIndex.load(ordering: .relaxed) {
                fill[fill.next] = journal.frame.load(ordering: .relaxed)
                fill.publish(upTo: fill.next &+ 1)
            }
            release(source, upTo: index &+ 1)
        } else if step & Journal.moves != 0 {
            let other = others[Int(source) - 1]
            let last = other[other.next &- 1]
            // Published, and not yet released: else it is still where it was.
            if other.ready > 0, last.index == index, socket.receive.first == index {
                socket.receive.release(upTo: index &+ 1)
            }
        }
        journal.step.store(0, ordering: .releasing)
    }
}
