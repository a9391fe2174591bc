import Synchronization

// SPDX-License-Identifier: Apache-2.0
#if hasFeature(Embedded)
    import CPreload
#else
    import CLinux
#endif

/// One of the rings that a process shares with the kernel (Documentation/networking/af_xdp.rst): one side produces
/// slots, the other consumes them. Both indices only grow; a slot is index modulo size.
///
/// Knows nothing but where the memory is, so a copy of it is the same ring, in another process of a fork too. Whoever
/// shares a side of a ring takes turns.
struct Ring<Slot: BitwiseCopyable> {
    private let producer: UnsafeMutablePointer<Atomic<UInt32>>
    private let consumer: UnsafeMutablePointer<Atomic<UInt32>>
    private let flags: UnsafeMutablePointer<Atomic<UInt32>>
    private let slots: UnsafeMutablePointer<Slot>
    private let mask: UInt32
    let memory: UnsafeMutableRawPointer
    /// Bytes of `memory`.
    let length: Int

    /// `size`: slots, a power of two. `memory` is what the socket maps, laid out as `offsets` say.
    init(memory: UnsafeMutableRawPointer, length: Int, offsets: xdp_ring_offset, size: UInt32) {
        self.memory = memory
        self.length = length
        producer = (memory + Int(offsets.producer)).assumingMemoryBound(to: Atomic<UInt32>.self)
        consumer = (memory + Int(offsets.consumer)).assumingMemoryBound(to: Atomic<UInt32>.self)
        flags = (memory + Int(offsets.flags)).assumingMemoryBound(to: Atomic<UInt32>.self)
        slots = (memory + Int(offsets.desc)).assumingMemoryBound(to: Slot.self)
        mask = size &- 1
    }

    /// Slots.
    var size: UInt32 { mask &+ 1 }

    @inline(__always) subscript(index: UInt32) -> Slot {
        get { slots[Int(index & mask)] }
        nonmutating set { slots[Int(index & mask)] = newValue }
    }

    /// Does the kernel wait for a system call before it goes on (XDP_USE_NEED_WAKEUP)?
    @inline(__always) var needsWakeup: Bool { flags.pointee.load(ordering: .relaxed) & 1 != 0 }

    // MARK: For who consumes

    /// The first slot that is not released.
    @inline(__always) var first: UInt32 { consumer.pointee.load(ordering: .relaxed) }

    /// How many slots from `first` on are ready.
    @inline(__always) var ready: UInt32 { producer.pointee.load(ordering: .acquiring) &- first }

    /// Gives back all slots before `index`.
    @inline(__always) func release(upTo index: UInt32) { consumer.pointee.store(index, ordering: .releasing) }

    // MARK: For who produces

    /// The slot that is written next.
    @inline(__always) var next: UInt32 { producer.pointee.load(ordering: .relaxed) }

    /// How many slots from `next` on can be written.
    @inline(__always) var free: UInt32 { size &- (next &- consumer.pointee.load(ordering: .acquiring)) }

    /// Hands over all slots before `index`.
    @inline(__always) func publish(upTo index: UInt32) { producer.pointee.store(index, ordering: .releasing) }
}
