// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import Glibc

/// A network interface as rtnetlink describes it.
public struct Link: Hashable, Sendable {
    public var index: UInt32
    public var name: String
    /// Bytes.
    public var mtu: UInt32
    public var isUp: Bool
    public var receiveQueues: UInt32
    /// The programs attached, by mode. More than one only where somebody attached to the NIC itself too.
    public var programs: [XDPMode: UInt32]

    /// The mode and id of the program that counts: the earliest in the packet's way.
    public var program: (mode: XDPMode, id: UInt32)? {
        for mode in [XDPMode.offloaded, .native, .generic] {
            if let id = programs[mode] { return (mode, id) }
        }
        return nil
    }
}

/// All interfaces of a namespace in one RTM_GETLINK dump (rtnetlink(7)): a query for each of a
/// thousand interfaces would be a thousand dumps.
public enum LinkTable {
    // rtnetlink(7) and linux/if_link.h; the ones that are not imported as numbers.
    private static let extendedMask: UInt16 = 29  // IFLA_EXT_MASK
    private static let skipStatistics: UInt32 = 1 << 3  // RTEXT_FILTER_SKIP_STATS
    private static let typeMask: UInt16 = 0x3fff  // NLA_TYPE_MASK

    /// The interfaces of the calling thread's namespace.
    public static func read() throws(Failure) -> [Link] {
        let netlink = FileDescriptor(
            try check(
                socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | O_CLOEXEC, NETLINK_ROUTE), "open rtnetlink",
                on: "AF_NETLINK"))
        var request = Request()
        let size = MemoryLayout<Request>.size
        _ = try check(Int32(send(netlink.rawValue, &request, size, 0)), "list the interfaces", on: "rtnetlink")
        var links: [Link] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 17)
        while true {
            let count = recv(netlink.rawValue, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            _ = try check(Int32(clamping: count), "list the interfaces", on: "rtnetlink")
            switch buffer.withUnsafeBytes({ parse(UnsafeRawBufferPointer(rebasing: $0[..<count]), into: &links) }) {
            case .more: continue
            case .done: return links
            case .failed(let code): _ = try check(code, "list the interfaces", on: "rtnetlink")
            }
        }
    }

    private struct Request {
        var header = nlmsghdr()
        var message = ifinfomsg()
        var attribute = rtattr()
        var mask = skipStatistics

        init() {
            header.nlmsg_len = UInt32(MemoryLayout<Request>.size)
            header.nlmsg_type = UInt16(RTM_GETLINK)
            header.nlmsg_flags = UInt16(NLM_F_REQUEST | NLM_F_DUMP)
            message.ifi_family = UInt8(AF_UNSPEC)
            attribute.rta_len = UInt16(MemoryLayout<rtattr>.size + 4)
            attribute.rta_type = extendedMask
        }
    }

    private enum Progress {
        case more
        case done
        /// `-errno`.
        case failed(Int32)
    }

    /// Appends the links of one datagram.
    private static func parse(_ datagram: UnsafeRawBufferPointer, into links: inout [Link]) -> Progress {
        var rest = datagram
        while rest.count >= MemoryLayout<nlmsghdr>.size {
            let header = rest.loadUnaligned(as: nlmsghdr.self)
            let length = Int(header.nlmsg_len)
            guard length >= MemoryLayout<nlmsghdr>.size, length <= rest.count else { return .failed(-EPROTO) }
            let body = UnsafeRawBufferPointer(rebasing: rest[MemoryLayout<nlmsghdr>.size..<length])
            switch Int32(header.nlmsg_type) {
            case NLMSG_DONE: return .done
            case NLMSG_ERROR:
                return .failed(body.count >= 4 ? body.loadUnaligned(as: Int32.self) : -EPROTO)
            case Int32(RTM_NEWLINK):
                if let link = link(body) { links.append(link) }
            default: break
            }
            rest = UnsafeRawBufferPointer(rebasing: rest[min(rest.count, (length + 3) / 4 * 4)...])
        }
        return .more
    }

    private static func link(_ body: UnsafeRawBufferPointer) -> Link? {
        guard body.count >= MemoryLayout<ifinfomsg>.size else { return nil }
        let message = body.loadUnaligned(as: ifinfomsg.self)
        var link = Link(
            index: UInt32(message.ifi_index), name: "", mtu: 0, isUp: message.ifi_flags & UInt32(IFF_UP) != 0,
            receiveQueues: 1, programs: [:])
        forEachAttribute(in: UnsafeRawBufferPointer(rebasing: body[MemoryLayout<ifinfomsg>.size...])) { type, value in
            switch Int(type) {
            case Int(IFLA_IFNAME): link.name = String(decoding: value.prefix { $0 != 0 }, as: UTF8.self)
            case Int(IFLA_MTU): link.mtu = number(value) ?? 0
            case Int(IFLA_NUM_RX_QUEUES): link.receiveQueues = number(value) ?? 1
            case Int(IFLA_XDP): link.programs = programs(value)
            default: break
            }
        }
        return link
    }

    private static func programs(_ nested: UnsafeRawBufferPointer) -> [XDPMode: UInt32] {
        var programs: [XDPMode: UInt32] = [:]
        var mode: UInt8 = 0
        var single: UInt32 = 0
        forEachAttribute(in: nested) { type, value in
            switch Int(type) {
            case Int(IFLA_XDP_ATTACHED): mode = value.first ?? 0
            case Int(IFLA_XDP_PROG_ID): single = number(value) ?? 0
            case Int(IFLA_XDP_DRV_PROG_ID): programs[.native] = number(value)
            case Int(IFLA_XDP_SKB_PROG_ID): programs[.generic] = number(value)
            case Int(IFLA_XDP_HW_PROG_ID): programs[.offloaded] = number(value)
            default: break
            }
        }
        if programs.isEmpty, single != 0 {
            switch Int(mode) {
            case Int(XDP_ATTACHED_DRV): programs[.native] = single
            case Int(XDP_ATTACHED_SKB): programs[.generic] = single
            case Int(XDP_ATTACHED_HW): programs[.offloaded] = single
            default: break
            }
        }
        return programs
    }

    private static func number(_ value: UnsafeRawBufferPointer) -> UInt32? {
        value.count >= 4 ? value.loadUnaligned(as: UInt32.self) : nil
    }

    private static func forEachAttribute(
        in bytes: UnsafeRawBufferPointer, _ body: (UInt16, UnsafeRawBufferPointer) -> Void
    ) {
        var rest = bytes
        let headerSize = MemoryLayout<rtattr>.size
        while rest.count >= headerSize {
            let header = rest.loadUnaligned(as: rtattr.self)
            let length = Int(header.rta_len)
            guard length >= headerSize, length <= rest.count else { return }
            body(header.rta_type & typeMask, UnsafeRawBufferPointer(rebasing: rest[headerSize..<length]))
            rest = UnsafeRawBufferPointer(rebasing: rest[min(rest.count, (length + 3) / 4 * 4)...])
        }
    }
}

/// The driver's name as ethtool tells it (ETHTOOL_GDRVINFO), for an interface of the calling thread's namespace.
public func driverName(of interface: String) -> String? {
    let probe = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0)
    guard probe >= 0 else { return nil }
    defer { close(probe) }
    var info = ethtool_drvinfo()
    info.cmd = UInt32(ETHTOOL_GDRVINFO)
    let succeeded = withUnsafeMutablePointer(to: &info) { info in
        var request = ifreq()
        withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: Array(interface.utf8).prefix($0.count - 1)) }
        request.ifr_ifru.ifru_data = UnsafeMutableRawPointer(info).assumingMemoryBound(to: CChar.self)
        return ioctl(probe, UInt(SIOCETHTOOL), &request) == 0
    }
    return succeeded ? fixedString(info.driver) : nil
}
