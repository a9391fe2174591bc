// SPDX-License-Identifier: Apache-2.0
import CPreload

/// Where a peer is on the wire, as the kernel has it now.
struct Hop: BitwiseCopyable {
    var interface: UInt32 = 0
    /// Ethernet addresses: the next hop's, the interface's own.
    var destination: (UInt16, UInt16, UInt16) = (0, 0, 0)
    var source: (UInt16, UInt16, UInt16) = (0, 0, 0)
    /// The address that the kernel would send from.
    var local = Address(high: 0, low: 0, isIPv6: false)
    /// Bytes of an IP packet.
    var limit = 0
}

/// Asks the kernel where a peer is (rtnetlink(7)), and hears when that may have changed. Needs no right.
enum Routes {
    nonisolated(unsafe) private static var questions: Int32 = -1
    nonisolated(unsafe) private static var news: Int32 = -1
    nonisolated(unsafe) private static var process: Int32 = 0
    nonisolated(unsafe) private static var sequence: UInt32 = 0
    /// The tick of the last look, in ``Beat/time``.
    nonisolated(unsafe) private static var looked = 0

    /// Has anything changed since the last call? Looked for once a tick of the kernel's clock, which is milliseconds. Also
    /// where that is not known. This process's own sockets, as a fork's parent would take the news away.
    static func haveChanged() -> Bool {
        if process != Process.number {
            process = Process.number
            questions = Descriptors.hide(fastpath_netlink(0))
            news = Descriptors.hide(
                fastpath_netlink(
                    group(RTNLGRP_LINK) | group(RTNLGRP_NEIGH) | group(RTNLGRP_IPV4_IFADDR) | group(RTNLGRP_IPV6_IFADDR)
                        | group(RTNLGRP_IPV4_ROUTE) | group(RTNLGRP_IPV6_ROUTE) | group(RTNLGRP_IPV4_RULE)
                        | group(RTNLGRP_IPV6_RULE)))
            return true
        }
        let now = Beat.time
        guard now != looked else { return false }
        looked = now
        var buffer = InlineArray<64, UInt64>(repeating: 0)
        var changed = false
        withUnsafeMutableBytes(of: &buffer) { bytes in
            // Bounded: more of it is there with the next datagram.
            for _ in 0..<64 {
                let count = Real.functions.pointee.recv(news, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT))
                if count < 0, fastpath_errno() == EAGAIN { return }
                changed = true
                // ENOBUFS: there was more than the socket holds. EBADF: there is no socket.
                if count < 0, fastpath_errno() != ENOBUFS { return }
            }
        }
        return changed
    }

    private static func group(_ group: rtnetlink_groups) -> UInt32 { 1 << (group.rawValue - 1) }

    /// Nil where the kernel must send itself: no route, no neighbour, or none that it has confirmed of late.
    static func hop(to peer: Address) -> Hop? {
        var hop = Hop()
        var gateway = peer
        guard route(to: peer, &hop, &gateway), neighbour(gateway, &hop) else { return nil }
        var mtu: UInt32 = 0
        var address = hop.source
        guard fastpath_link(questions, hop.interface, &mtu, &address) == 0 else { return nil }
        hop.source = address
        hop.limit = hop.limit == 0 ? Int(mtu) : min(hop.limit, Int(mtu))
        return hop
    }

    private static func route(to peer: Address, _ hop: inout Hop, _ gateway: inout Address) -> Bool {
        var question = Message(type: UInt16(RTM_GETROUTE), family: peer.family, length: 12)
        // rtm_dst_len
        question.set(1, UInt8(peer.isIPv6 ? 128 : 32))
        question.add(UInt16(RTA_DST.rawValue), peer)
        let answer = Answer()
        guard question.ask(questions, &sequence, expects: UInt16(RTM_NEWROUTE), answer) else { return false }
        // rtm_type; a nexthop with an encapsulation is the kernel's.
        guard answer.header[7] == UInt8(RTN_UNICAST) else { return false }
        var isPlain = true
        answer.attributes.forEach { type, value in
            switch Int(type) {
            case Int(RTA_OIF.rawValue): hop.interface = value.loadUnaligned(as: UInt32.self)
            case Int(RTA_GATEWAY.rawValue): gateway = Address(raw: value, isIPv6: peer.isIPv6) ?? gateway
            case Int(RTA_PREFSRC.rawValue): hop.local = Address(raw: value, isIPv6: peer.isIPv6) ?? hop.local
            case Int(RTA_ENCAP.rawValue), Int(RTA_VIA.rawValue), Int(RTA_MULTIPATH.rawValue): isPlain = false
            case Int(RTA_METRICS.rawValue):
                Attributes(bytes: value).forEach { type, value in
                    if Int(type) == RTAX_MTU { hop.limit = Int(value.loadUnaligned(as: UInt32.self)) }
                }
            default: break
            }
        }
        return isPlain && hop.interface != 0 && (hop.local.high != 0 || hop.local.low != 0)
    }

    private static func neighbour(_ address: Address, _ hop: inout Hop) -> Bool {
        var question = Message(type: UInt16(RTM_GETNEIGH), family: address.family, length: 12)
        question.set(4, hop.interface)
        question.add(UInt16(NDA_DST), address)
        // What the kernel has not heard of for a while it asks about, when it sends itself.
        let confirmed = UInt16(NUD_REACHABLE | NUD_PERMANENT)
        let answer = Answer()
        guard question.ask(questions, &sequence, expects: UInt16(RTM_NEWNEIGH), answer),
            answer.header.loadUnaligned(fromByteOffset: 8, as: UInt16.self) & confirmed != 0
        else { return false }
        var isThere = false
        answer.attributes.forEach { type, value in
            guard Int(type) == NDA_LLADDR, value.count == 6 else { return }
            hop.destination = value.loadUnaligned(as: (UInt16, UInt16, UInt16).self)
            isThere = true
        }
        return isThere
    }
}

/// Room for an answer of rtnetlink. Route and neighbour have a header of 12 bytes each behind the message's 16.
private struct Answer: ~Copyable {
    static let header = 12
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 2_048, alignment: 8)
    deinit { memory.deallocate() }

    /// Of bytes that were checked.
    var header: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[16..<16 + Self.header]) }
    var attributes: Attributes {
        let length = Int(memory.loadUnaligned(as: UInt32.self))
        return Attributes(bytes: UnsafeRawBufferPointer(rebasing: memory[16 + Self.header..<length]))
    }
}

extension Address {
    var family: UInt8 { UInt8(isIPv6 ? AF_INET6 : AF_INET) }

    /// In network byte order; nil where the length is another.
    init?(raw bytes: UnsafeRawBufferPointer, isIPv6: Bool) {
        guard bytes.count == (isIPv6 ? 16 : 4) else { return nil }
        self.isIPv6 = isIPv6
        high = isIPv6 ? bytes.number64(0) : UInt64(bytes.number32(0))
        low = isIPv6 ? bytes.number64(8) : 0
    }

    /// In network byte order; 4 bytes for IPv4, 16 for IPv6.
    func writeRaw(to place: UnsafeMutableRawPointer) {
        if isIPv6 { return write(to: place) }
        place.storeBytes(of: UInt32(truncatingIfNeeded: high).bigEndian, as: UInt32.self)
    }
}

/// Attributes of a netlink message: length, type, value, each at a multiple of 4.
private struct Attributes {
    let bytes: UnsafeRawBufferPointer

    @inline(never)
    func forEach(_ body: (UInt16, UnsafeRawBufferPointer) -> Void) {
        var place = 0
        while place + 4 <= bytes.count {
            let length = Int(bytes.loadUnaligned(fromByteOffset: place, as: UInt16.self))
            guard length >= 4, place + length <= bytes.count else { return }
            let type = bytes.loadUnaligned(fromByteOffset: place + 2, as: UInt16.self)
            // NLA_F_NESTED and its like are above.
            body(type & 0x3fff, UnsafeRawBufferPointer(rebasing: bytes[place + 4..<place + length]))
            place += (length + 3) & ~3
        }
    }
}

/// A question to rtnetlink: its header, the header of the question's kind, and one address.
private struct Message {
    private var bytes = InlineArray<64, UInt8>(repeating: 0)
    private var length: Int

    /// `length`: of the kind's own header.
    init(type: UInt16, family: UInt8, length: Int) {
        self.length = 16 + length
        put(4, type)
        put(6, UInt16(NLM_F_REQUEST))
        put(16, family)
    }

    /// In the kind's own header.
    mutating func set<Value: BitwiseCopyable>(_ offset: Int, _ value: Value) { put(16 + offset, value) }

    mutating func add(_ type: UInt16, _ address: Address) {
        let count = address.isIPv6 ? 16 : 4
        put(length, UInt16(4 + count))
        put(length + 2, type)
        let place = length + 4
        withUnsafeMutableBytes(of: &bytes) { address.writeRaw(to: $0.baseAddress.unsafelyUnwrapped + place) }
        length += 4 + count
    }

    private mutating func put<Value: BitwiseCopyable>(_ offset: Int, _ value: Value) {
        withUnsafeMutableBytes(of: &bytes) { $0.storeBytes(of: value, toByteOffset: offset, as: Value.self) }
    }

    /// False where the answer is another, or an error.
    @inline(never)
    mutating func ask(_ socket: Int32, _ sequence: inout UInt32, expects type: UInt16, _ answer: borrowing Answer)
        -> Bool
    {
        sequence &+= 1
        put(0, UInt32(length))
        put(8, sequence)
        let count = length
        let sent = withUnsafeBytes(of: &bytes) { fastpath_send(socket, $0.baseAddress, count) }
        guard sent == count else { return false }
        // An answer to an earlier question that was given up may be before it.
        for _ in 0..<8 {
            let memory = answer.memory
            let received = Real.functions.pointee.recv(socket, memory.baseAddress, memory.count, Int32(MSG_DONTWAIT))
            guard received >= 16 + Answer.header else { return false }
            guard memory.loadUnaligned(fromByteOffset: 8, as: UInt32.self) == sequence else { continue }
            let length = Int(memory.loadUnaligned(as: UInt32.self))
            return memory.loadUnaligned(fromByteOffset: 4, as: UInt16.self) == type && length <= received
                && length >= 16 + Answer.header
        }
        return false
    }
}
